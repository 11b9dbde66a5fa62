"""What the final answer of a response is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.answers import PATTERNS, extract

PATTERN = r"Answer:\s*(.+)"


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
@pytest.mark.parametrize("pattern", [PATTERN, "answer"])
def test_extract_after_the_last_label(text: str, answer: str | None, pattern: str) -> None:
    assert extract(text, pattern) == answer


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        ("answer", "**Answer:** 12", "12"),
        ("answer", "**Answer**: 12", "12"),
        ("answer", "Final answer: red.", "red"),
        ("answer", "ANSWER: B", "B"),
        ("answer", "Answer:12", "12"),
        ("answer", "Answer: 3\nAnswer:", "3"),
        ("answer", "Answer: Answer: 3", "3"),
        ("answer", "The answer is 3", None),
        ("answer", "My answers: 3", None),
        ("boxed", r"so \boxed{12}", "12"),
        ("boxed", r"\boxed{3} or \boxed{4}", "4"),
        ("boxed", r"\boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("boxed", r"\boxed {x_{1}^{2}}", "x_{1}^{2}"),
        ("boxed", r"\boxed{\boxed{5}}", "5"),
        ("boxed", "\\boxed{\n5\n km}", "5 km"),
        ("boxed", r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("boxed", r"\fbox{5}", "5"),
        ("boxed", r"\boxed{3} then \boxed{4", "3"),
        ("boxed", r"\boxed{3} then \boxed{}", "3"),
        ("boxed", r"a } \boxed{3} }", "3"),
        ("boxed", r"\boxed{", None),
        ("boxed", r"\boxed{ }", None),
        ("boxed", "12", None),
        ("answer_tag", "<answer>12</answer>", "12"),
        ("answer_tag", "<answer> 3 </answer> <ANSWER>4</ANSWER>", "4"),
        ("answer_tag", "<answer>\n 12 \n</answer>", "12"),
        ("answer_tag", "<answer>12", "12"),
        ("answer_tag", "<answer><answer>12</answer></answer>", "12"),
        ("answer_tag", "12</answer>", None),
        ("answer_tag", "<answer></answer>", None),
        ("box_tokens", "so <|begin_of_box|>12<|end_of_box|>.", "12"),
        ("box_tokens", "12", None),
        ("last_line", "First.\n\nSecond: 12.\n\n", "Second: 12"),
        ("last_line", "12", "12"),
        ("last_line", " \n ", None),
        (r"(\d+)", "between 12 and 345", "345"),
        (r"(?s)<a>(.*?)</a>", "<a>1</a> <a>2\n3</a>", "2"),
        (r"none|Answer: (.+)", "none", None),
    ],
)
def test_extract_by_pattern(pattern: str, text: str, answer: str | None) -> None:
    assert extract(text, pattern) == answer


def test_the_first_of_several_patterns_that_finds_an_answer_counts() -> None:
    ladder = ["boxed", "answer", "last_line"]
    assert extract("Answer: 3\nso \\boxed{4}\n5", ladder) == "4"
    assert extract("Answer: 3\nso \\boxed{}\n5", ladder) == "3"
    assert extract("so\n5", ladder) == "5"
    assert extract("", ladder) is None


@pytest.mark.parametrize("pattern", ["Answer: .+", "box", ""])
def test_extract_refuses_what_is_neither_a_name_nor_an_expression_with_a_group(pattern: str) -> None:
    with pytest.raises(ValueError, match="no group"):
        extract("Answer: 3", pattern)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>Answer: 3</think>Answer: 4", "4"),
        ("<think>Answer: 3</think>", None),
        ("Answer: 2 <think>Answer: 3", "2"),
        ("<think>Answer: 3", None),
        ("Answer: 3</think>\n\nAnswer: 4", "4"),
        ("Answer: 3</think>", None),
        ("Answer: 3</think> nothing", None),
        ("Answer: 1\n<think>Answer: 2</think>\n<think>Answer: 3</think>", "1"),
        ("<think>a <think>b</think> Answer: 3</think> Answer: 4", "4"),
        ("<THINK>Answer: 3</THINK>Answer: 4", "4"),
        ("<thinking>Answer: 3</thinking>Answer: 4", "4"),
        ("<thinks>Answer: 3</thinks>", "3</thinks>"),
        ("a < b. Answer: 4", "4"),
    ],
)
def test_thinking_is_cut_away_before_an_answer_is_looked_for(text: str, answer: str | None) -> None:
    assert extract(text, "answer") == answer
    assert extract(text, PATTERN) == answer


def test_the_tags_of_thinking_are_a_setting() -> None:
    text = "<reason>Answer: 3</reason> Answer: 4 <think>Answer: 5</think>"
    assert extract(text, thinking_tags=("reason",)) == "5</think>"
    assert extract("<think>Answer: 3", thinking_tags=()) == "3"


@pytest.mark.parametrize("pattern", [PATTERN, *PATTERNS])
@pytest.mark.parametrize(
    "unit",
    [
        "x",
        "Answer:",
        "Answer:\n",
        "Answer: \n \n",
        "answer* ",
        " ",
        "<think>",
        "</think>",
        "\\boxed{",
        "{}",
        "<answer>",
    ],
)
def test_extract_is_linear_in_a_million_characters(unit: str, pattern: str) -> None:
    text = unit * (1_000_000 // len(unit))
    began = time.process_time()
    answer = extract(text, pattern)
    assert time.process_time() - began < 20  # quadratic time would be hours
    assert answer is None or answer == answer.strip()


@pytest.mark.parametrize("unit", ["x", "Answer:", "Answer:\n", " ", "Answer: 3 "])
def test_the_answer_after_a_million_characters_is_found(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert extract(text + "\nAnswer: last", "answer") == extract(text + "\nAnswer: last", PATTERN) == "last"


@given(st.text(max_size=50), st.sampled_from(sorted(PATTERNS)))
def test_extract_returns_one_stripped_line_or_nothing(text: str, pattern: str) -> None:
    for response in (text, f"Answer: {text}", f"\\boxed{{{text}}}", f"<answer>{text}</answer>"):
        answer = extract(response, pattern)
        assert answer is None or (answer == answer.strip() and answer and len(answer.splitlines()) == 1)


@given(st.text(alphabet="ab\n<>/think", max_size=40))
def test_what_is_thought_never_reaches_the_answer(thought: str) -> None:
    assert extract(f"<think>{thought}SECRET</think>last", "last_line") == "last"
