"""When two answers are the same: an equivalence relation, whatever the answers are."""

from __future__ import annotations

import itertools
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.answers import DEFAULT, AnswerSettings, canonical, options_in, partition
from policies.divergence import UNANSWERED

PIECES = st.sampled_from(
    [
        "the ",
        "a",
        "an ",
        " ",
        "and ",
        " to ",
        "5",
        "1,000",
        ".",
        ",",
        ";",
        "-",
        "$",
        "%",
        "(",
        "[",
        ")",
        "{",
        "}",
        '"',
        "^",
    ]
)
SPECIAL = st.sampled_from(
    ["ß", "İ", "\u0301", "x", "½", "²", "\\frac", "\\text{", "=", "+", "million", "two ", "third", "may ", "2010", "e3"]
)
MORE = st.sampled_from(
    ["yes", "km", "°", "√", "π", "'", "١", "が", "<", ">", "first ", "bc", "/", ":", "⟦", "⟧", "answer is ", "between "]
)
ANSWERS = st.one_of(st.text(max_size=20), st.lists(st.one_of(PIECES, SPECIAL, MORE), max_size=8).map("".join))
SETTINGS = st.builds(
    AnswerSettings,
    percent=st.sampled_from(["keep", "number", "fraction"]),
    ordered_lists=st.booleans(),
    day_first=st.booleans(),
    formulas=st.just(False),
)
OPTIONS = st.one_of(st.none(), st.lists(st.one_of(ANSWERS, st.sampled_from(["a", "b", "red", "12"])), max_size=4))


@given(ANSWERS, OPTIONS, SETTINGS)
@example("...5", None, DEFAULT)
@example("the a the b", None, DEFAULT)
@example("\u1e9b\u0323\u0345", None, DEFAULT)
@example("9^{9^{9}}", None, DEFAULT)
@example("b", ["b", "a"], DEFAULT)
def test_canonical_is_idempotent(answer: str, options: list[str] | None, settings: AnswerSettings) -> None:
    form = canonical(answer, options=options, settings=settings)
    assert canonical(form, options=options, settings=settings) == form


@given(ANSWERS)
@example("\x00\x85")
def test_canonical_holds_no_control_characters_and_is_never_the_class_of_no_answer(answer: str) -> None:
    form = canonical(UNANSWERED + answer)
    assert not any(unicodedata.category(character) == "Cc" for character in form)


@given(st.integers(-(10**12), 10**12), st.integers(0, 3))
def test_canonical_number_does_not_depend_on_how_it_is_written(value: int, zeros: int) -> None:
    point = "." + "0" * zeros if zeros else ""
    assert canonical(f"{value:,}{point}") == canonical(f"${value}") == canonical(str(value)) == str(value)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 9))
def test_canonical_fraction_is_in_lowest_terms(num: int, den: int, factor: int) -> None:
    assert canonical(f"{num}/{den}") == canonical(f"{num * factor}/{den * factor}")
    assert (canonical(f"{num}/{den}") == canonical(f"{num + 1}/{den}")) is False


@given(st.integers(0, 10**9), st.sampled_from(["%", " km", " apples", ""]))
def test_canonical_number_in_words_is_the_number(value: int, unit: str) -> None:
    assert canonical(spelled(value) + unit.replace("%", " percent")) == canonical(f"{value}{unit}")


REPEATED = ["the ", "a (", "1,", "9", ". ", "(", "\u0301$", "\u0316\u0301", "x;", "a and ", "\\text{", "$", "½", "10^"]
MORE_REPEATED = ["{}", "é ", "- ", "1-", "が", "five ", "\\frac12", "u.s.", "'", "a\u0301"]


@pytest.mark.parametrize("unit", REPEATED + MORE_REPEATED)
def test_canonical_is_linear_in_long_answers(unit: str) -> None:
    answer = unit * (200_000 // len(unit))
    began = time.process_time()
    form = canonical(answer)
    assert time.process_time() - began < 20  # quadratic time would be many minutes
    assert canonical(form) == form


@pytest.mark.parametrize("unit", ["9", "x y, ", "が"])
def test_canonical_of_a_million_characters_is_defined(unit: str) -> None:
    answer = unit * (1_000_000 // len(unit))
    began = time.process_time()
    assert partition([answer, answer + " ", answer + "x", None]) == [0, 0, 1, 2]
    assert time.process_time() - began < 60


@given(st.lists(st.one_of(st.none(), ANSWERS), max_size=8), SETTINGS)
def test_partition_is_the_equality_of_canonical_forms(answers: list[str | None], settings: AnswerSettings) -> None:
    classes = partition(answers, settings=settings)
    forms = [None if answer is None else canonical(answer, settings=settings) for answer in answers]
    for (form, number), (other_form, other_number) in itertools.combinations(zip(forms, classes, strict=True), 2):
        assert (number == other_number) == (form == other_form)


@given(st.lists(st.one_of(st.none(), ANSWERS), max_size=8), st.randoms(use_true_random=False))
def test_partition_is_an_equivalence_relation_whatever_the_order(answers: list[str | None], random: object) -> None:
    order = list(range(len(answers)))
    random.shuffle(order)  # type: ignore[attr-defined]
    classes, shuffled = partition(answers), partition([answers[index] for index in order])
    for one, other in itertools.combinations(range(len(order)), 2):
        assert (shuffled[one] == shuffled[other]) == (classes[order[one]] == classes[order[other]])
    same = {(i, j) for i, j in itertools.product(range(len(answers)), repeat=2) if classes[i] == classes[j]}
    alone = {(i, j) for i, j in itertools.product(range(len(answers)), repeat=2) if _same_alone(answers[i], answers[j])}
    assert same == alone  # what else was answered changes nothing: hence transitive
    assert all((i, i) in same for i in range(len(answers)))
    assert all((j, i) in same for i, j in same)
    assert all((i, k) in same for i, j in same for j2, k in same if j == j2)


def test_partition_numbers_classes_by_first_appearance_and_no_answer_is_a_class() -> None:
    assert partition(["12", None, "dozen", "12.0", None, "", "twelve"]) == [0, 1, 2, 0, 1, 3, 0]
    assert partition([]) == []


@pytest.mark.parametrize(
    ("percent", "same"),
    [("keep", ["12 percent"]), ("number", ["12", "12 percent"]), ("fraction", ["0.12", "12 percent"])],
)
def test_what_a_percentage_equals_is_a_setting(percent: str, same: list[str]) -> None:
    settings = AnswerSettings(percent=percent)  # type: ignore[arg-type]
    form = canonical("12 %", settings=settings)
    assert [other for other in ("12", "0.12", "12 percent") if canonical(other, settings=settings) == form] == same


def test_whether_lists_are_ordered_is_a_setting() -> None:
    sets = AnswerSettings(ordered_lists=False)
    assert canonical("red, blue") != canonical("blue and red")
    assert canonical("red, blue", settings=sets) == canonical("blue and red", settings=sets)
    assert canonical("red, red, blue", settings=sets) != canonical("red, blue", settings=sets)
    assert canonical("[1, 0)", settings=sets) != canonical("[0, 1)", settings=sets)


def test_whether_the_day_comes_first_is_a_setting() -> None:
    assert canonical("5/3/2020") == "2020-05-03"
    assert canonical("5/3/2020", settings=AnswerSettings(day_first=True)) == "2020-03-05"


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "b"),
        ("(B)", "b"),
        ("b.", "b"),
        ("Blue", "b"),
        ("the blue", "b"),
        ("B. blue", "b"),
        ("(B) blue", "b"),
        ("B: Blue.", "b"),
        ("B blue", "b"),
        ("Option B", "b"),
        ("The answer is B", "b"),
        ("The correct answer is (B)", "b"),
        ("\\boxed{\\text{B}}", "b"),
        ("$12", "c"),
        ("twelve", "c"),
        ("B. red", "b"),
        ("E", "e"),
        ("green", "green"),
        ("red or blue", "red or blue"),
        ("", ""),
    ],
)
def test_an_answer_that_names_an_option_is_its_letter(answer: str, letter: str) -> None:
    assert canonical(answer, options=["Red", "Blue", "12.0", "a"]) == letter


def test_a_bare_letter_is_the_option_and_not_a_text_that_is_the_same_letter() -> None:
    assert canonical("a", options=["b", "a"]) == "a"
    assert canonical("b", options=["b", "a"]) == "b"


def test_equal_options_are_the_first_and_more_than_letters_have_their_text() -> None:
    assert canonical("red", options=["red", "Red."]) == "a"
    assert canonical("option 30", options=[f"Option {index}" for index in range(40)]) == "option 30"


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Which?\nA. red\nB. blue", ("red", "blue")),
        ("Which?\n(A) red\n(B) the blue one\n(C) 12\nAnswer with a letter.", ("red", "the blue one", "12")),
        ("Which?\nA: red\nB: blue", ("red", "blue")),
        ("Which?\nA. red\nC. blue", ()),
        ("Which?\nA. red", ()),
        ("Which bar is the tallest?", ()),
    ],
)
def test_options_are_read_from_a_question(question: str, options: tuple[str, ...]) -> None:
    assert options_in(question) == options


def _same_alone(one: str | None, other: str | None) -> bool:
    return len(set(partition([one, other]))) == 1


SMALL = """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen"""


def spelled(value: int) -> str:
    """A number in words, written independently of the module."""
    small = ["zero", *SMALL.split()]
    tens = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    if value < 20:
        return small[value]
    if value < 100:
        return tens[value // 10] + (f"-{small[value % 10]}" if value % 10 else "")
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if value >= size:
            rest = value % size
            joined = f" {'and ' if rest < 100 else ''}{spelled(rest)}" if rest else ""
            return f"{spelled(value // size)} {name}{joined}"
    raise AssertionError(value)
