"""Questions on a chart whose data are known: text and answer are computed from them, so neither can be wrong.

    table of a chart + operation + what it takes -> (question, answer)

Arithmetic is decimal: 0.1 + 0.2 is 0.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class ChartTable:
    """What a chart shows: one value per category and series."""

    category: str
    """Title of the category axis."""
    value: str
    """Title of the value axis."""
    series: tuple[str, ...]
    """Names of the series; none if the chart has no legend of series."""
    values: Mapping[tuple[str, str], Decimal]
    """By category and series, '' where there are none; in the order of the data."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a chart."""

    operation: str
    """A key of `OPERATIONS`."""
    categories: tuple[str, ...] = ()
    series: str | None = None
    threshold: Decimal | None = None


OPERATIONS: Mapping[str, str] = {
    "value": 'the value of one category; "categories": [one]',
    "difference": 'by how much two categories differ; "categories": [one, another]',
    "highest": "the category with the highest value",
    "lowest": "the category with the lowest value",
    "total": "the sum over all categories",
    "count_above": 'how many categories are above a number; "threshold": the number',
}
"""The kinds of question, and what each takes."""


def ask(table: ChartTable, asked: Asked) -> tuple[str, str]:
    """The question in words, and its answer.

    ValueError, with the reason, for an unknown operation, category or series, and for a question without one answer.
    """
    if asked.operation not in OPERATIONS:
        raise ValueError(f"operation {asked.operation!r} is none of {', '.join(OPERATIONS)}")
    if table.series and asked.series not in table.series:
        raise ValueError(f"series {asked.series!r} is none of {', '.join(table.series)}")
    if not table.series and asked.series:
        raise ValueError(f"series {asked.series!r}: the chart has no series")
    values = {category: value for (category, series), value in table.values.items() if series == (asked.series or "")}
    absent = [name for name in asked.categories if name not in values]
    if absent:
        raise ValueError(f"category {absent[0]!r} is not in the chart")
    where = f" in the series {asked.series}" if table.series else ""
    text, answer = _ASK[asked.operation](table, asked, values)
    return f"{text}{where}?", answer


Values = Mapping[str, Decimal]


def _value(table: ChartTable, asked: Asked, values: Values) -> tuple[str, str]:
    (category,) = _categories(asked, 1)
    return f"What is the value of {table.value} for {category}", _number(values[category])


def _difference(table: ChartTable, asked: Asked, values: Values) -> tuple[str, str]:
    first, second = _categories(asked, 2)
    text = f"By how much do {first} and {second} differ in {table.value}"
    return text, _number(abs(values[first] - values[second]))


def _highest(table: ChartTable, asked: Asked, values: Values) -> tuple[str, str]:
    return f"Which {table.category} has the highest {table.value}", _only(values, max(values.values()))


def _lowest(table: ChartTable, asked: Asked, values: Values) -> tuple[str, str]:
    return f"Which {table.category} has the lowest {table.value}", _only(values, min(values.values()))


def _total(table: ChartTable, asked: Asked, values: Values) -> tuple[str, str]:
    return f"What is the sum of {table.value} over every {table.category}", _number(sum(values.values(), Decimal()))


def _count_above(table: ChartTable, asked: Asked, values: Values) -> tuple[str, str]:
    if asked.threshold is None:
        raise ValueError("count_above without a threshold")
    text = f"For how many values of {table.category} is {table.value} above {_number(asked.threshold)}"
    return text, str(sum(value > asked.threshold for value in values.values()))


_ASK: Mapping[str, Callable[[ChartTable, Asked, Values], tuple[str, str]]] = {
    "value": _value,
    "difference": _difference,
    "highest": _highest,
    "lowest": _lowest,
    "total": _total,
    "count_above": _count_above,
}


def _categories(asked: Asked, num: int) -> Sequence[str]:
    if len(set(asked.categories)) != num or len(asked.categories) != num:
        raise ValueError(f"{asked.operation} takes {num} categories, not {list(asked.categories)}")
    return asked.categories


def _only(values: Values, extreme: Decimal) -> str:
    """The category with an extreme value, if there is one only."""
    found = [category for category, value in values.items() if value == extreme]
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found)} share the extreme value {_number(extreme)}: there is no one answer")
    return found[0]


def _number(value: Decimal) -> str:
    """Without exponent and superfluous zeros."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
