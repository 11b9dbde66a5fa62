"""Questions are found by their words, on every database that keeps ledgers, and no query breaks the search."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import searching
from store.ledger import Ledger
from store.records import Origin, Prompt, PromptFilter
from tests.store.facts import PROMPTS, score_of, start
from tests.store.stored_ledgers import stored

HOSTILE = Prompt.make("100%_sure? <script>\ud800\x00", (), Origin.SEED_GUIDED, PROMPTS[0].id)
PRICE = Prompt.make("Was the PRICE of Ärmel over 3.50 in the café?")
MANY = 60


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url)
    start(opened)
    opened.add_prompts([*PROMPTS, HOSTILE, PRICE], pool="pool")
    opened.add_scores("demo", 1, [score_of(prompt, 1.0) for prompt in (*PROMPTS, HOSTILE, PRICE)])
    yield opened
    opened.close()


def found(ledger: Ledger, words: str, **wanted: object) -> list[Prompt]:
    return [row.prompt for row in ledger.page_of_scored("demo", 1, PromptFilter(words, **wanted), "", 100)]  # type: ignore[arg-type]


def test_a_word_is_found_by_its_beginning_in_any_order_and_case(ledger: Ledger) -> None:
    assert found(ledger, "price was") == [PRICE]
    assert found(ledger, "PRI 3.5") == [PRICE]
    assert found(ledger, "café") == [PRICE]
    assert found(ledger, "3? BARS") == [Prompt.make("How many bars exceed 3?")]
    assert found(ledger, "rice") == []
    assert found(ledger, "price nowhere") == []
    assert found(ledger, "5.3") == []


@pytest.mark.parametrize("words", ["how", "bars exceed", "price", "nowhere", "\ud800"])
def test_a_frequent_word_finds_what_a_rare_one_would(
    ledger: Ledger, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one = found(ledger, words, min_delta=0.5)
    monkeypatch.setattr(searching, "FEW", 1)
    assert found(ledger, words, min_delta=0.5) == one_by_one
    assert bool(one_by_one) == (words != "nowhere")


def test_signs_and_operators_mean_nothing(ledger: Ledger) -> None:
    assert found(ledger, "100%_") == [HOSTILE]
    assert found(ledger, "\ud800") == [HOSTILE]
    assert found(ledger, "how%bars") == []
    assert found(ledger, "% ?!") == []
    assert found(ledger, "' OR 1=1 --") == []
    assert found(ledger, "price NOT café") == []
    assert found(ledger, "price OR nowhere") == []
    for word in ('"', '"price', "price*", "(price", "question:price", "^price", "{question}: price", "NEAR(price, 2)"):
        assert found(ledger, word) in ([PRICE], []), word


@pytest.mark.parametrize("words", ["\x00", "x" * 10_000, "a " * 5_000, "'" * 300, "\\", ":* & !", "\u202e", "\x1b0;"])
def test_no_query_breaks_the_search(ledger: Ledger, words: str) -> None:
    assert PRICE not in found(ledger, words)
    ledger.page_of_scored("demo", 1, PromptFilter(words), "\x00", 5)


def test_filters_hold_beside_words(ledger: Ledger) -> None:
    assert found(ledger, "bars", origin=Origin.SEED_GUIDED) == []
    assert found(ledger, "sure", origin=Origin.SEED_GUIDED) == [HOSTILE]
    assert found(ledger, "bars", min_delta=2.0) == []


def test_pages_of_a_search_hold_every_hit_once(ledger: Ledger) -> None:
    more = [Prompt.make(f"Which bar is number {number}?") for number in range(MANY)]
    assert ledger.add_prompts(more, pool="pool") == MANY
    ledger.add_scores("demo", 1, [score_of(prompt, 1.0) for prompt in more])
    assert ledger.add_prompts(more, pool="pool") == 0
    seen: list[str] = []
    while page := ledger.page_of_scored("demo", 1, PromptFilter("bar"), seen[-1] if seen else "", 7):
        seen += [row.prompt.id for row in page]
    assert sorted(seen) == sorted(prompt.id for prompt in (*PROMPTS, *more))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=3))
def test_a_question_is_found_by_its_own_words(ledger: Ledger, words: list[str]) -> None:
    prompt = Prompt.make(" ".join(words) + " findable")
    ledger.add_prompts([prompt], pool="pool")
    ledger.add_scores("demo", 1, [score_of(prompt, 1.0)])
    assert prompt in found(ledger, "findable " + prompt.question)


@pytest.mark.parametrize("revision", ["0005", "0006"])
def test_a_stored_ledger_is_searchable_and_stays_so_after_a_vacuum(tmp_path: Path, revision: str) -> None:
    path = stored(revision, tmp_path / "ledger.db")
    with Ledger(path) as ledger:
        scored = ledger.scores("demo", 1)[0].prompt_id
        question = ledger.prompts([scored])[0].question
        before = found(ledger, question)
        assert scored in [prompt.id for prompt in before]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
    with Ledger(path) as ledger:
        assert found(ledger, question) == before
