"""Question and answer from the data of a chart."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.chart_questions import OPERATIONS, Asked, ChartTable, ask

SALES = {"Mar": "3.5", "Jan": "4", "Feb": "0.10"}
ONE = ChartTable("month", "Sales", (), {(month, ""): Decimal(value) for month, value in SALES.items()})
TWO = ChartTable(
    "month",
    "Sales",
    ("North", "South"),
    {(month, "North"): Decimal(value) for month, value in SALES.items()} | {("Mar", "South"): Decimal(-7)},
)


@pytest.mark.parametrize(
    ("asked", "question", "answer"),
    [
        (Asked("value", ("Feb",)), "What is the value of Sales for Feb?", "0.1"),
        (Asked("difference", ("Mar", "Jan")), "By how much do Mar and Jan differ in Sales?", "0.5"),
        (Asked("highest"), "Which month has the highest Sales?", "Jan"),
        (Asked("lowest"), "Which month has the lowest Sales?", "Feb"),
        (Asked("total"), "What is the sum of Sales over every month?", "7.6"),
        (Asked("count_above", threshold=Decimal("3.5")), "For how many values of month is Sales above 3.5?", "1"),
    ],
)
def test_each_operation_by_hand(asked: Asked, question: str, answer: str) -> None:
    assert ask(ONE, asked) == (question, answer)


def test_every_operation_is_tested_above() -> None:
    cases = test_each_operation_by_hand.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {asked.operation for asked, _, _ in cases} == OPERATIONS.keys()


def test_a_series_is_asked_about_alone() -> None:
    question, answer = ask(TWO, Asked("total", series="South"))
    assert question == "What is the sum of Sales over every month in the series South?"
    assert answer == "-7"


@pytest.mark.parametrize(
    ("table", "asked", "reason"),
    [
        (ONE, Asked("median"), "'median' is none of value"),
        (ONE, Asked("value"), "takes 1 categories"),
        (ONE, Asked("value", ("Apr",)), "'Apr' is not in the chart"),
        (ONE, Asked("difference", ("Mar", "Mar")), "takes 2 categories"),
        (ONE, Asked("count_above"), "without a threshold"),
        (ONE, Asked("total", series="North"), "no series"),
        (TWO, Asked("total"), "series None is none of North, South"),
        (TWO, Asked("value", ("Jan",), "South"), "'Jan' is not in the chart"),
    ],
)
def test_what_cannot_be_asked_and_why(table: ChartTable, asked: Asked, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ask(table, asked)


def test_two_that_share_the_highest_value_are_no_answer() -> None:
    tied = ChartTable("month", "Sales", (), {("Mar", ""): Decimal(4), ("Jan", ""): Decimal("4.0")})
    with pytest.raises(ValueError, match="Mar and Jan share the extreme value 4"):
        ask(tied, Asked("highest"))


@given(st.lists(st.decimals(-999, 999, places=3), min_size=2, max_size=20))
def test_sums_are_exact_and_written_without_exponent(values: list[Decimal]) -> None:
    table = ChartTable("x", "y", (), {(str(index), ""): value for index, value in enumerate(values)})
    _, answer = ask(table, Asked("total"))
    assert Decimal(answer) == sum(values)
    assert "E" not in answer
