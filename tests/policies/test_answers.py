"""What the final answer is, and when two are the same."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.answers import canonical, extract, partition

PATTERN = r"Answer:\s*(.+)"
PIECES = st.sampled_from(
    ["the ", "a", "an ", " ", "5", "1,000", ".", ",", "-", "$", "%", "(", '"', "ß", "İ", "\u0301", "x"]
)
ANSWERS = st.one_of(st.text(max_size=20), st.lists(PIECES, max_size=8).map("".join))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The bar reads 12. Answer: 12", "12"),
        ("Answer: 3\nOn second thought.\nAnswer: 4.", "4"),
        ("Answer: 3, no wait, Answer: 4", "4"),
        ("Answer: 12.5 %.", "12.5 %"),
        ("Answer:\n  red  \nbecause it is", "red"),
        ("Answer: Is it blue?!", "Is it blue"),
        ("Answer: ...", None),
        ("Answer:   \n ", None),
        ("12", None),
        ("", None),
    ],
)
def test_extract(text: str, answer: str | None) -> None:
    assert extract(text, PATTERN) == answer


def test_extract_takes_the_last_whole_match_of_a_pattern_that_is_all_group() -> None:
    assert extract("between 12 and 345", r"(\d+)") == "345"
    assert extract("<a>1</a> <a>2\n3</a>", r"(?s)<a>(.*?)</a>") == "2"


def test_extract_treats_a_group_that_took_no_part_as_absent() -> None:
    assert extract("none", r"none|Answer: (.+)") is None


def test_extract_refuses_a_pattern_without_a_group() -> None:
    with pytest.raises(ValueError, match="no group"):
        extract("Answer: 3", "Answer: .+")


@pytest.mark.parametrize("unit", ["x", "Answer:", "Answer:\n", "Answer: \n \n", " ", "Answer: 3 "])
def test_extract_survives_a_million_characters(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert extract(text + "\nAnswer: last", PATTERN) == "last"


@given(st.text(max_size=50))
def test_extract_returns_one_stripped_line_or_nothing(text: str) -> None:
    answer = extract("Answer: " + text, PATTERN)
    assert answer is None or (answer == answer.strip() and answer and len(answer.splitlines()) == 1)


@pytest.mark.parametrize(
    "same",
    [
        ["12", "12.0", "+12", "012", "$12", "12 €", " 12. ", "(12)", "**12**", "１２"],
        ["1200.5", "1,200.50", "$1,200.5", "1\u202f200.5"],
        ["-3", "−3", "-3.00", "-$3"],
        ["0", "-0", "0.00", "-0.0"],
        ["0.5", ".5"],
        ["12%", "12 %", "12.0%"],
        ["cat", "The Cat", " the  CAT.", "a cat", '"Cat"'],
        ["strasse", "Straße"],
        ["A", "a", "(A)", "A."],
    ],
)
def test_canonical_joins(same: list[str]) -> None:
    assert {canonical(answer) for answer in same} == {canonical(same[0])}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12", "12%"),
        ("12", "-12"),
        ("12", "1.2"),
        ("1.5", "15"),
        ("1,23", "123"),
        ("12 000", "12000"),
        ("A", "B"),
        ("A B", "B"),
        ("C", "C++"),
        ("5", "5 million"),
        ("2010-2012", "-2"),
        ("$", "€"),
        ("", "0"),
    ],
)
def test_canonical_keeps_apart(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@given(ANSWERS)
@example("...5")
@example("the a the b")
@example("\u1e9b\u0323\u0345")
def test_canonical_is_idempotent(answer: str) -> None:
    assert canonical(canonical(answer)) == canonical(answer)


@given(ANSWERS)
def test_canonical_holds_no_control_characters(answer: str) -> None:
    assert not any(unicodedata.category(character) == "Cc" for character in canonical("\x00" + answer))


@given(st.integers(-(10**12), 10**12), st.integers(0, 3))
def test_canonical_number_does_not_depend_on_how_it_is_written(value: int, zeros: int) -> None:
    point = "." + "0" * zeros if zeros else ""
    assert canonical(f"{value:,}{point}") == canonical(str(value)) == str(value)


@pytest.mark.parametrize("unit", ["the ", "a (", "1,", "9", ". ", "(", "\u0301$"])
def test_canonical_survives_long_repetitions(unit: str) -> None:
    answer = canonical(unit * (200_000 // len(unit)))
    assert canonical(answer) == answer


@given(st.lists(st.one_of(st.none(), ANSWERS), max_size=8))
def test_partition_is_the_equality_of_canonical_forms(answers: list[str | None]) -> None:
    classes = partition(answers)
    forms = [None if answer is None else canonical(answer) for answer in answers]
    for (form, number), (other_form, other_number) in itertools.combinations(zip(forms, classes, strict=True), 2):
        assert (number == other_number) == (form == other_form)


@given(st.lists(st.one_of(st.none(), ANSWERS), max_size=8), st.randoms(use_true_random=False))
def test_partition_does_not_depend_on_the_order(answers: list[str | None], random: object) -> None:
    order = list(range(len(answers)))
    random.shuffle(order)  # type: ignore[attr-defined]
    classes, shuffled = partition(answers), partition([answers[index] for index in order])
    for one, other in itertools.combinations(range(len(order)), 2):
        assert (shuffled[one] == shuffled[other]) == (classes[order[one]] == classes[order[other]])


def test_partition_numbers_classes_by_first_appearance_and_no_answer_is_a_class() -> None:
    assert partition(["12", None, "twelve", "12.0", None, ""]) == [0, 1, 2, 0, 1, 3]
