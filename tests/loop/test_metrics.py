"""The metrics of the held-out suites."""

from __future__ import annotations

import pytest

from loop.metrics import METRICS, anls, exact_match, relaxed_accuracy


@pytest.mark.parametrize(
    ("answer", "references", "value"),
    [
        ("100", ["100"], 1.0),
        ("105", ["100"], 1.0),
        ("95", ["100"], 1.0),
        ("105.1", ["100"], 0.0),
        ("-100", ["100"], 0.0),
        ("-98", ["-100"], 1.0),
        ("0.0", ["0"], 1.0),
        ("0", ["0.00"], 1.0),
        ("0.01", ["0"], 0.0),
        ("1,020", ["$1,000"], 1.0),
        ("12%", ["12 %"], 1.0),
        ("0.12", ["12%"], 1.0),
        ("12", ["12%"], 0.0),
        ("The Red one", ["red one"], 1.0),
        ("blue", ["red"], 0.0),
        ("12", ["twelve"], 1.0),
        ("nan", ["5"], 0.0),
        ("inf", ["5"], 0.0),
        ("5", ["red", "5.1"], 1.0),
        ("5", [], 0.0),
    ],
)
def test_relaxed_accuracy(answer: str, references: list[str], value: float) -> None:
    assert relaxed_accuracy(answer, references) == value


@pytest.mark.parametrize(
    ("answer", "references", "value"),
    [
        ("invoice 12", ["invoice 12"], 1.0),
        ("INVOICE  12", ["invoice 12"], 1.0),
        ("invoice 13", ["invoice 12"], 0.9),
        ("invoice 13", ["receipt", "invoice 12"], 0.9),
        ("abcd", ["abxy"], 0.5),
        ("abcd", ["axyz"], 0.0),
        ("total", [], 0.0),
    ],
)
def test_anls(answer: str, references: list[str], value: float) -> None:
    assert anls(answer, references) == pytest.approx(value)


@pytest.mark.parametrize(
    ("answer", "references", "value"),
    [
        ("Yes.", ["yes"], 1.0),
        ("12.0", ["12"], 1.0),
        ("13", ["12"], 0.0),
        ("12%", ["12"], 0.0),
        ("b", ["a", "B"], 1.0),
        ("b", [], 0.0),
    ],
)
def test_exact_match(answer: str, references: list[str], value: float) -> None:
    assert exact_match(answer, references) == value


@pytest.mark.parametrize("metric", sorted(METRICS))
@pytest.mark.parametrize("answer", ["", "  "])
def test_an_empty_answer_scores_nothing_even_against_an_empty_reference(metric: str, answer: str) -> None:
    assert METRICS[metric](answer, ["", "5"]) == 0.0
