"""Real tables in, small numeric series out, in four splits that share no table.

The tables are the data files inside the wheels `vega_datasets` and `bokeh_sampledata`; they are read with the
standard library alone. A table belongs to exactly one split, and every set that two wheels carry under two
names (the cars, the irises, the antibiotics) is named once.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np

MAX_ROWS = 4000
"""Rows read of a table: enough for any series, and the largest files stay quick."""


class Split(StrEnum):
    """Which scenes a table may appear in."""

    TRAIN = "train"
    POOL = "pool"
    HELD_OUT = "held_out"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Source:
    """One data file and the numeric columns that scenes may show."""

    package: str
    file: str
    split: Split
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """Package and file, the name that a scene carries."""
        return f"{self.package}/{self.file}"


def _sources(package: str, split: Split, columns_by_file: dict[str, str]) -> tuple[Source, ...]:
    return tuple(Source(package, file, split, tuple(names.split("|"))) for file, names in columns_by_file.items())


VEGA, BOKEH = "vega_datasets", "bokeh_sampledata"
SOURCES: tuple[Source, ...] = (
    *_sources(
        VEGA,
        Split.TRAIN,
        {
            "cars.json": "Miles_per_Gallon|Horsepower|Weight_in_lbs|Acceleration",
            "seattle-weather.csv": "temp_max|temp_min|wind|precipitation",
            "iowa-electricity.csv": "net_generation",
            "us-employment.csv": "nonfarm|construction|manufacturing|information|government",
            "barley.json": "yield",
            "la-riots.csv": "age",
        },
    ),
    *_sources(
        BOKEH,
        Split.TRAIN,
        {
            "gapminder.csv.gz": "fertility|life_expectancy|population",
            "forensic_glass.csv": "Na|Mg|Al|Si|Ca",
            "auto-mpg2.csv": "displ|cty|hwy",
            "SampleSuperstore.csv.gz": "Sales|Quantity|Profit",
            "emissions.csv.gz": "emissions",
            "cows.csv": "butterfat",
        },
    ),
    *_sources(VEGA, Split.POOL, {"stocks.csv": "price", "ohlc.json": "open|high|low", "sf-temps.csv": "temp"}),
    *_sources(
        BOKEH,
        Split.POOL,
        {
            "penguins.csv": "bill_length_mm|bill_depth_mm|flipper_length_mm|body_mass_g",
            "titanic_all.csv": "age",
            "us_marriages_divorces.csv": "Marriages|Divorces|Population",
            "CGM.csv.gz": "isig|glucose",
        },
    ),
    *_sources(VEGA, Split.HELD_OUT, {"wheat.json": "wheat|wages", "crimea.json": "wounds|other|disease"}),
    *_sources(
        BOKEH,
        Split.HELD_OUT,
        {
            "unemployment1948.csv": "Jan|Apr|Jul|Oct|Annual",
            "sprint.csv": "Time",
            "lincoln_weather.csv": "TMAX|TMIN",
            "percent-bachelors-degrees-women-usa.csv": "Agriculture|Biology|Business|Education|Engineering",
        },
    ),
    *_sources(
        VEGA,
        Split.UNSEEN,
        {
            "burtin.json": "Penicillin|Streptomycin|Neomycin",
            "iris.json": "sepalLength|sepalWidth|petalLength|petalWidth",
            "driving.json": "miles|gas",
        },
    ),
    *_sources(
        BOKEH, Split.UNSEEN, {"elements.csv": "atomic mass|electronegativity|atomic radius", "anscombe.csv": "Ix|Iy"}
    ),
)


@dataclass(frozen=True)
class Series:
    """Whole numbers scaled from one column of one real table, and where they came from."""

    table: str
    column: str
    values: tuple[int, ...]


def sources_of(split: Split) -> tuple[Source, ...]:
    """The tables of a split, in their fixed order."""
    return tuple(source for source in SOURCES if source.split is split)


def draw_series(split: Split, num: int, top: int, rng: np.random.Generator) -> Series:
    """Takes ``num`` rows of a random column of the split and scales them to distinct numbers in 1..``top``.

    Raises:
        ValueError: If ``num`` distinct numbers do not fit below ``top``.
    """
    if num > top:
        raise ValueError(f"{num} distinct values do not fit in 1..{top}: ask for fewer or a higher top")
    sources = sources_of(split)
    while True:
        source = sources[int(rng.integers(len(sources)))]
        column = source.columns[int(rng.integers(len(source.columns)))]
        values = _distinct_sample(load_column(source.package, source.file, column), num, rng)
        if len(values) == num:
            scaled = _scale(values, top, rng)
            if len(set(scaled)) == num:
                return Series(source.name, column, scaled)


def _distinct_sample(column: tuple[float, ...], num: int, rng: np.random.Generator) -> list[float]:
    """Up to ``num`` different values of a stretch of rows, in row order."""
    span = min(len(column), 12 * num)
    start = int(rng.integers(len(column) - span + 1))
    picks = sorted(rng.permutation(span)[: 3 * num].tolist())
    distinct = list(dict.fromkeys(column[start + pick] for pick in picks))
    keep = sorted(rng.permutation(len(distinct))[:num].tolist())
    return [distinct[index] for index in keep]


def _scale(values: list[float], top: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Maps the smallest and the largest value to random ends inside 1..``top``, the rest in proportion."""
    low, high = min(values), max(values)
    floor = int(rng.integers(1, max(2, top // 3)))
    ceiling = int(rng.integers(min(top, floor + (2 * top) // 5), top + 1))
    span = (high - low) or 1.0
    return tuple(floor + round((value - low) / span * (ceiling - floor)) for value in values)


@cache
def load_column(package: str, file: str, column: str) -> tuple[float, ...]:
    """The finite numbers of one column, in row order.

    Raises:
        ModuleNotFoundError: If the wheel that carries the table is not installed.
        ValueError: If the column holds fewer than four numbers.
    """
    numbers = [_number(row.get(column)) for row in _rows(package, file)]
    finite = tuple(number for number in numbers if number is not None)
    if len(finite) < 4:
        raise ValueError(f"column {column} of {package}/{file} holds {len(finite)} numbers: choose another")
    return finite


@cache
def _rows(package: str, file: str) -> tuple[dict[str, object], ...]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the tables need the package {package}: pip install {package.replace('_', '-')}")
    path = Path(spec.origin).parent / "_data" / file
    text = gzip.decompress(path.read_bytes()) if file.endswith(".gz") else path.read_bytes()
    if file.endswith(".json"):
        return tuple(json.loads(text)[:MAX_ROWS])
    lines = text.decode("utf-8", errors="replace").splitlines()[: MAX_ROWS + 1]
    reader = csv.DictReader(lines, skipinitialspace=True)
    return tuple(dict(row) for row in reader)


def _number(value: object) -> float | None:
    """The value as a finite float, or None for blanks and words."""
    try:
        number = float(str(value).replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
