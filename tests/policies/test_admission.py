"""The fate of candidates, and which questions are usable."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.admission import admit, normalise_question, well_formed
from store.records import Fate, Score

SCORE = Score("p", "s", "t", 0.4, 0.1, 0.9, 8, 16, "reverse_kl", {"smoothing": 0.05}, False, 0.75, 0.5)


def test_a_differing_consistent_candidate_is_admitted() -> None:
    assert admit(SCORE, min_consistency=0.5) == (Fate.ADMITTED, "delta 0.400, consistency 0.75")


def test_consistency_at_the_threshold_is_enough() -> None:
    assert admit(replace(SCORE, consistency=0.5), min_consistency=0.5)[0] is Fate.ADMITTED


def test_zero_delta_is_rejected_with_the_samples_behind_it() -> None:
    fate, detail = admit(replace(SCORE, zero_delta=True, delta=0.0), min_consistency=0.5)
    assert fate is Fate.ZERO_DELTA
    assert "8 student" in detail
    assert "16 teacher" in detail


@pytest.mark.parametrize("zero_delta", [True, False])
def test_an_inconsistent_teacher_comes_before_everything(zero_delta: bool) -> None:
    row = replace(SCORE, zero_delta=zero_delta, consistency=0.375)
    assert admit(row, min_consistency=0.5) == (Fate.INCONSISTENT_TEACHER, "consistency 0.38 < 0.50")


@pytest.mark.parametrize("question", ["How many bars?", "Ist Δ > 0?\n\tJa", "数える", "x" * 2000])
def test_usable_questions(question: str) -> None:
    assert well_formed(question) is None


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("\u200b\u00a0", "empty"),
        ("x" * 2001, "2001 characters, more than 2000"),
        ("How\x00 many?", "control character U+0000 at position 3"),
        ("How many\ud800?", "lone surrogate U+D800 at position 8"),
    ],
)
def test_unusable_questions_and_why(question: str, reason: str) -> None:
    assert reason in str(well_formed(question))


def test_control_characters_of_a_users_own_text_may_stay() -> None:
    assert well_formed("How\x00 many\x1b[31m?", controls=True) is None
    assert "lone surrogate" in str(well_formed("How many\ud800?", controls=True))
    assert "empty" in str(well_formed("\x00\x07", controls=True))


def test_the_limit_is_a_setting() -> None:
    assert well_formed("abc", max_chars=3) is None
    assert "more than 2" in str(well_formed("abc", max_chars=2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How many bars?", "  how  many BARS "),
        ("What's the total?", "what s the total"),
        ("“Sales” in １９９９?", '"sales" in 1999'),
        ("bars\u200b and lines", "bars and lines"),
    ],
)
def test_spellings_of_one_question_are_the_same(one: str, other: str) -> None:
    assert normalise_question(one) == normalise_question(other)


@pytest.mark.parametrize(("one", "other"), [("over 1.5?", "over 15?"), ("is 3 > 2?", "is 3 < 2?"), ("red?", "blue?")])
def test_different_questions_stay_different(one: str, other: str) -> None:
    assert normalise_question(one) != normalise_question(other)


@given(st.text(st.characters(max_codepoint=127), max_size=30))
@example("1\x00.5 (a_b) $3 1.\x1f5")
def test_the_short_way_for_ascii_gives_what_the_long_way_gives(text: str) -> None:
    assert normalise_question(f"é {text}").removeprefix("é").strip() == normalise_question(text)


@given(st.text(max_size=30))
@example("1.\u200b5")
@example("İ.ß.5.6")
def test_normalising_is_idempotent(text: str) -> None:
    assert normalise_question(normalise_question(text)) == normalise_question(text)
