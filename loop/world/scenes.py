"""A scene is a few marks on a grid of six by six cells: split, kind and random generator in, picture out.

    new_scene(split, kind, rng) -> Scene -> draw -> RGB picture of IMAGE_SIZE x IMAGE_SIZE
                                         -> to_json / from_json

A mark carries all that a question may ask (label, series, value, colour, shape, size, place), so a gold answer
is always computed from the scene and never from pixels. A cell is one image token of the embedded pair: its
caption and its number share the token, which is what makes looking up a label learnable in an hour.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from loop.world import vocabulary as words
from loop.world.tables import Series, Split, draw_series

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SIZE = 96
CELL = 16
GRID = IMAGE_SIZE // CELL
TOP_VALUE, TOP_SMALL, TOP_PRICE = 30, 12, 9
CHARTS = ("bar", "grouped", "line", "pie")
DOCUMENTS = ("form", "receipt", "table")
KINDS = (*CHARTS, *DOCUMENTS, "shapes")
STYLES = ("white", "cream", "lines", "sky")
UNSEEN_STYLES = ("night", "mint", "framed")


@dataclass(frozen=True)
class Mark:
    """One bar, slice, point, box, line of a receipt, cell of a table, or shape."""

    label: str
    value: int
    col: int
    row: int
    series: str = ""
    colour: str = ""
    shape: str = ""
    size: str = ""


@dataclass(frozen=True)
class Scene:
    """Everything that is drawn, and the real table that its numbers come from."""

    kind: str
    table: str
    style: str
    marks: tuple[Mark, ...]


def to_json(scene: Scene) -> str:
    """The scene as one line of JSON with sorted keys."""
    return json.dumps(asdict(scene), sort_keys=True)


def from_json(text: str) -> Scene:
    """The scene that `to_json` wrote.

    Raises:
        ValueError: If the text is not the JSON of a scene.
    """
    try:
        fields = json.loads(text)
        marks = tuple(Mark(**mark) for mark in fields.pop("marks"))
        scene = Scene(marks=marks, **fields)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not the JSON of a scene: {text[:80]!r}") from error
    if scene.kind not in KINDS:
        raise ValueError(f"unknown kind of scene {scene.kind!r}: one of {', '.join(KINDS)}")
    return scene


def draw(scene: Scene) -> Image.Image:
    """Draws the scene: always the same pixels for the same scene."""
    from loop.world import drawing

    return drawing.draw_scene(scene)


def new_scene(split: Split | str, kind: str, rng: np.random.Generator) -> Scene:
    """Lays out a scene of the given kind over a table of the given split.

    Raises:
        ValueError: If the kind or the split is unknown.
    """
    if kind not in _LAYOUTS:
        raise ValueError(f"unknown kind of scene {kind!r}: one of {', '.join(KINDS)}")
    split = Split(split)
    styles = UNSEEN_STYLES if split is Split.UNSEEN else STYLES
    table, marks = _LAYOUTS[kind](split, rng)
    return Scene(kind, table, _one(styles, rng), marks)


def _one(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _some(options: Sequence[str], num: int, rng: np.random.Generator) -> list[str]:
    return [options[index] for index in rng.permutation(len(options))[:num].tolist()]


def _labels(num: int, rng: np.random.Generator) -> list[str]:
    """Distinct labels of one set, in the set's own order as an axis would show them."""
    options = words.LABEL_SETS[int(rng.integers(len(words.LABEL_SETS)))]
    return sorted(_some(options, num, rng), key=options.index)


def _series(split: Split, num: int, rng: np.random.Generator) -> Series:
    """A series; half of them small, so that differences stay learnable."""
    return draw_series(split, num, TOP_SMALL if rng.random() < 0.5 else TOP_VALUE, rng)


Layout = tuple[str, tuple[Mark, ...]]


def _bar(split: Split, rng: np.random.Generator) -> Layout:
    num = int(rng.integers(3, 6))
    series, labels, offset = _series(split, num, rng), _labels(num, rng), int(rng.integers(GRID - num + 1))
    colours = _some(tuple(words.COLOURS), num, rng)
    cells = enumerate(zip(labels, series.values, colours, strict=True))
    return series.table, tuple(Mark(label, v, offset + i, GRID - 1, colour=c) for i, (label, v, c) in cells)


def _line(split: Split, rng: np.random.Generator) -> Layout:
    table, marks = _bar(split, rng)
    colour = marks[0].colour
    return table, tuple(Mark(m.label, m.value, m.col, m.row, colour=colour) for m in marks)


def _pie(split: Split, rng: np.random.Generator) -> Layout:
    num = int(rng.integers(3, 6))
    series, labels, offset = _series(split, num, rng), _labels(num, rng), int(rng.integers(GRID - num + 1))
    colours = _some(tuple(words.COLOURS), num, rng)
    cells = enumerate(zip(labels, series.values, colours, strict=True))
    return series.table, tuple(Mark(label, v, GRID - 1, offset + i, colour=c) for i, (label, v, c) in cells)


def _grouped(split: Split, rng: np.random.Generator) -> Layout:
    num = int(rng.integers(2, 4))
    series, labels = _series(split, 2 * num, rng), _labels(num, rng)
    colours, offset = _some(tuple(words.COLOURS), 2, rng), int(rng.integers(GRID - 2 * num + 1))
    marks = [
        Mark(label, series.values[2 * i + s], offset + 2 * i + s, GRID - 1, series=colour, colour=colour)
        for i, label in enumerate(labels)
        for s, colour in enumerate(colours)
    ]
    return series.table, tuple(marks)


def _form(split: Split, rng: np.random.Generator) -> Layout:
    num = int(rng.integers(3, 6))
    series, labels = _series(split, num, rng), _some(words.FIELDS, num, rng)
    places = sorted(rng.permutation(3 * GRID)[:num].tolist())
    cells = zip(labels, series.values, places, strict=True)
    return series.table, tuple(Mark(label, v, 2 * (p % 3), p // 3) for label, v, p in cells)


def _receipt(split: Split, rng: np.random.Generator) -> Layout:
    num = int(rng.integers(2, 5))
    series, labels = draw_series(split, num, TOP_PRICE, rng), _some(words.ITEMS, num, rng)
    col, row = int(rng.integers(1, GRID)), int(rng.integers(GRID - num + 1))
    cells = enumerate(zip(labels, series.values, strict=True))
    return series.table, tuple(Mark(label, v, col, row + i) for i, (label, v) in cells)


def _table(split: Split, rng: np.random.Generator) -> Layout:
    num = int(rng.integers(2, 5))
    series, labels, heads = _series(split, 2 * num, rng), _labels(num, rng), _some(words.HEADERS, 2, rng)
    col, row = int(rng.integers(1, GRID - 1)), int(rng.integers(1, GRID - num + 1))
    marks = [
        Mark(label, series.values[2 * i + s], col + s, row + i, series=head)
        for i, label in enumerate(labels)
        for s, head in enumerate(heads)
    ]
    return series.table, tuple(marks)


def _shapes(split: Split, rng: np.random.Generator) -> Layout:
    """Shapes whose number and sizes follow a series of the table; few colours, so that they repeat."""
    num = int(rng.integers(2, 7))
    series = draw_series(split, num, TOP_VALUE, rng)
    palette = _some(tuple(words.COLOURS), int(rng.integers(2, 4)), rng)
    places = sorted(rng.permutation(GRID * GRID)[:num].tolist())
    low, high = min(series.values), max(series.values)
    marks = []
    for value, place in zip(series.values, places, strict=True):
        size = words.SIZES[min(2, 3 * (value - low) // max(1, high - low))]
        shape, colour = _one(words.SHAPES, rng), _one(palette, rng)
        marks.append(Mark("", value, place % GRID, place // GRID, colour=colour, shape=shape, size=size))
    return series.table, tuple(marks)


_LAYOUTS = {
    "bar": _bar,
    "grouped": _grouped,
    "line": _line,
    "pie": _pie,
    "form": _form,
    "receipt": _receipt,
    "table": _table,
    "shapes": _shapes,
}
