"""Question families: a scene and a generator in, a question with its gold rationale and answer out.

A rationale repeats from the picture what the answer needs, one word per token, and nothing else; a response
is ``f"{rationale} Answer: {answer}"``. Families marked easy read or list; the hard ones pick two marks, compare,
count over a threshold, subtract, add up, or take two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from loop.world import vocabulary as words
from loop.world.scenes import TOP_SMALL, Mark, Scene


@dataclass(frozen=True)
class Question:
    """What is asked, and the gold response."""

    family: str
    domain: str
    text: str
    rationale: str
    answer: str

    @property
    def response(self) -> str:
        """The gold response as a model should write it."""
        return f"{self.rationale} Answer: {self.answer}".lstrip()


@dataclass(frozen=True)
class Family:
    """One kind of question; ``kinds`` are the kinds of scene that can be asked."""

    name: str
    domain: str
    kinds: tuple[str, ...]
    easy: bool
    skill: str


Wording = tuple[str, str, str]
"""Question, rationale, answer."""
Asker = Callable[[Scene, np.random.Generator], Wording | None]

MIN_GAP = 2
"""Two numbers that a question compares differ by at least this much."""


def families_of(scene: Scene) -> tuple[str, ...]:
    """Names of the families that this kind of scene can be asked, in their fixed order."""
    return tuple(name for name, family in FAMILIES.items() if scene.kind in family.kinds)


def ask(scene: Scene, family_name: str, rng: np.random.Generator) -> Question | None:
    """Asks a question of the family about the scene; None if the scene does not admit it.

    Raises:
        ValueError: If no family has that name.
    """
    if family_name not in FAMILIES:
        raise ValueError(f"unknown family {family_name!r}: one of {', '.join(FAMILIES)}")
    family = FAMILIES[family_name]
    if scene.kind not in family.kinds or family_name not in _ASKERS:
        return None
    wording = _ASKERS[family_name](scene, rng)
    return None if wording is None else Question(family.name, family.domain, *wording)


# Helpers: picks and listings


def _pick(options: Sequence[Mark], rng: np.random.Generator) -> Mark:
    return options[int(rng.integers(len(options)))]


def _two(marks: Sequence[Mark], rng: np.random.Generator) -> tuple[Mark, Mark] | None:
    """Two marks whose values differ enough to be compared, in random order."""
    for _ in range(8):
        first, second = (marks[index] for index in rng.permutation(len(marks))[:2].tolist())
        if abs(first.value - second.value) >= MIN_GAP:
            return first, second
    return None


def _read(mark: Mark) -> str:
    return f"{mark.label} {mark.value}"


def _list(marks: Sequence[Mark]) -> str:
    return " ".join(_read(mark) for mark in marks)


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _is_small(scene: Scene) -> bool:
    return all(mark.value <= TOP_SMALL for mark in scene.marks)


def _larger(first: Mark, second: Mark) -> Mark:
    return first if first.value > second.value else second


def _label_or_other(scene: Scene, rng: np.random.Generator) -> str:
    """A label of the scene, or as often one of the same set that it lacks."""
    shown = [mark.label for mark in scene.marks]
    if rng.random() < 0.5:
        return shown[int(rng.integers(len(shown)))]
    sets = (*words.LABEL_SETS, words.ITEMS, words.FIELDS)
    options = [label for labels in sets if shown[0] in labels for label in labels if label not in shown]
    return options[int(rng.integers(len(options)))]


def _extreme(scene: Scene, largest: bool) -> Mark | None:
    """The mark with the largest or smallest value, if it stands out."""
    ordered = sorted(scene.marks, key=lambda mark: mark.value, reverse=largest)
    return ordered[0] if abs(ordered[0].value - ordered[1].value) >= MIN_GAP else None


def _threshold(marks: Sequence[Mark], rng: np.random.Generator) -> int:
    """A number between the values, equal to none of them when there is room."""
    low, high = min(mark.value for mark in marks), max(mark.value for mark in marks)
    options = [at for at in range(low, high) if all(mark.value != at for mark in marks)] or [low]
    return options[int(rng.integers(len(options)))]


def _count_above(marks: Sequence[Mark], at: int) -> tuple[str, str]:
    """Each value with yes or no, then how many said yes."""
    verdicts = " ".join(f"{mark.value} {_yes(mark.value > at)}" for mark in marks)
    return verdicts, str(sum(mark.value > at for mark in marks))


# Charts


def _chart_read(scene: Scene, rng: np.random.Generator) -> Wording:
    mark = _pick(scene.marks, rng)
    return f"what is the value of {mark.label} ?", _read(mark), str(mark.value)


def _chart_colour(scene: Scene, rng: np.random.Generator) -> Wording:
    mark = _pick(scene.marks, rng)
    return f"what color is {mark.label} ?", f"{mark.label} {mark.colour}", mark.colour


def _chart_count(scene: Scene, rng: np.random.Generator) -> Wording:
    return "how many values are shown ?", _list(scene.marks), str(len(scene.marks))


def _present(scene: Scene, rng: np.random.Generator) -> Wording:
    label = _label_or_other(scene, rng)
    shown = [mark.label for mark in scene.marks]
    return f"is {label} shown ?", " ".join(shown), _yes(label in shown)


def _chart_compare(scene: Scene, rng: np.random.Generator) -> Wording | None:
    pair = _two(scene.marks, rng)
    if pair is None:
        return None
    first, second = pair
    return f"which is larger {first.label} or {second.label} ?", _list(pair), _larger(first, second).label


def _chart_largest(scene: Scene, rng: np.random.Generator) -> Wording | None:
    largest = bool(rng.random() < 0.5)
    mark = _extreme(scene, largest)
    if mark is None:
        return None
    return f"which label has the {'largest' if largest else 'smallest'} value ?", _list(scene.marks), mark.label


def _chart_above(scene: Scene, rng: np.random.Generator) -> Wording:
    at = _threshold(scene.marks, rng)
    return f"how many values are above {at} ?", *_count_above(scene.marks, at)


def _chart_difference(scene: Scene, rng: np.random.Generator) -> Wording | None:
    pair = _two(scene.marks, rng) if _is_small(scene) else None
    if pair is None:
        return None
    high, low = sorted(pair, key=lambda mark: -mark.value)
    return f"how much larger is {high.label} than {low.label} ?", _list((high, low)), str(high.value - low.value)


def _chart_two_step(scene: Scene, rng: np.random.Generator) -> Wording | None:
    if not _is_small(scene):
        return None
    values = [mark.value for mark in scene.marks]
    high, low = max(values), min(values)
    rationale = f"{_list(scene.marks)} largest {high} smallest {low}"
    return "what is the largest minus the smallest ?", rationale, str(high - low)


def _grouped_read(scene: Scene, rng: np.random.Generator) -> Wording:
    mark = _pick(scene.marks, rng)
    return (
        f"what is the {mark.colour} value of {mark.label} ?",
        f"{mark.label} {mark.colour} {mark.value}",
        str(mark.value),
    )


def _grouped_compare(scene: Scene, rng: np.random.Generator) -> Wording | None:
    label = _pick(scene.marks, rng).label
    first, second = (mark for mark in scene.marks if mark.label == label)
    if abs(first.value - second.value) < MIN_GAP:
        return None
    rationale = f"{label} {first.colour} {first.value} {second.colour} {second.value}"
    return f"which color is larger for {label} ?", rationale, _larger(first, second).colour


# Documents


def _form_field(scene: Scene, rng: np.random.Generator) -> Wording:
    mark = _pick(scene.marks, rng)
    return f"what is the {mark.label} ?", _read(mark), str(mark.value)


def _form_count(scene: Scene, rng: np.random.Generator) -> Wording:
    return "how many fields are filled ?", _list(scene.marks), str(len(scene.marks))


def _receipt_price(scene: Scene, rng: np.random.Generator) -> Wording:
    mark = _pick(scene.marks, rng)
    return f"what does the {mark.label} cost ?", _read(mark), str(mark.value)


def _receipt_compare(scene: Scene, rng: np.random.Generator) -> Wording | None:
    pair = _two(scene.marks, rng)
    if pair is None:
        return None
    first, second = pair
    verdict = _yes(first.value > second.value)
    return f"does the {first.label} cost more than the {second.label} ?", _list(pair), verdict


def _receipt_total(scene: Scene, rng: np.random.Generator) -> Wording:
    steps, total = [str(scene.marks[0].value)], scene.marks[0].value
    for mark in scene.marks[1:]:
        total += mark.value
        steps += [str(mark.value), str(total)]
    return "what is the total ?", " ".join(steps), str(total)


def _receipt_dearest(scene: Scene, rng: np.random.Generator) -> Wording | None:
    mark = _extreme(scene, largest=True)
    return None if mark is None else ("which item costs most ?", _list(scene.marks), mark.label)


def _table_read(scene: Scene, rng: np.random.Generator) -> Wording:
    mark = _pick(scene.marks, rng)
    return f"what is {mark.series} for {mark.label} ?", f"{mark.label} {mark.series} {mark.value}", str(mark.value)


def _table_above(scene: Scene, rng: np.random.Generator) -> Wording:
    series = _pick(scene.marks, rng).series
    column = [mark for mark in scene.marks if mark.series == series]
    at = _threshold(column, rng)
    return f"how many {series} values are above {at} ?", *_count_above(column, at)


def _table_difference(scene: Scene, rng: np.random.Generator) -> Wording | None:
    label = _pick(scene.marks, rng).label
    high, low = sorted((mark for mark in scene.marks if mark.label == label), key=lambda mark: -mark.value)
    if not _is_small(scene):
        return None
    text = f"what is {high.series} minus {low.series} for {label} ?"
    return text, f"{high.series} {high.value} {low.series} {low.value}", str(high.value - low.value)


# Shapes


def _named(mark: Mark) -> str:
    return f"{mark.colour} {mark.shape}"


def _unique(scene: Scene) -> list[Mark]:
    """Marks whose shape occurs once."""
    shapes = [mark.shape for mark in scene.marks]
    return [mark for mark in scene.marks if shapes.count(mark.shape) == 1]


def _two_unique(scene: Scene, rng: np.random.Generator) -> tuple[Mark, Mark] | None:
    marks = _unique(scene)
    if len(marks) < 2:
        return None
    first, second = (marks[index] for index in rng.permutation(len(marks))[:2].tolist())
    return first, second


def _shape_count(scene: Scene, rng: np.random.Generator) -> Wording:
    return "how many shapes are there ?", " ".join(map(_named, scene.marks)), str(len(scene.marks))


def _shape_present(scene: Scene, rng: np.random.Generator) -> Wording:
    shown = [mark.shape for mark in scene.marks]
    absent = [shape for shape in words.SHAPES if shape not in shown]
    options = absent if absent and rng.random() < 0.5 else shown
    shape = options[int(rng.integers(len(options)))]
    return f"is there a {shape} ?", " ".join(shown), _yes(shape in shown)


def _shape_colour(scene: Scene, rng: np.random.Generator) -> Wording | None:
    marks = _unique(scene)
    if not marks:
        return None
    mark = _pick(marks, rng)
    return f"what color is the {mark.shape} ?", _named(mark), mark.colour


def _colour_count(scene: Scene, rng: np.random.Generator) -> Wording:
    colour = _pick(scene.marks, rng).colour
    shown = [mark.colour for mark in scene.marks]
    return f"how many shapes are {colour} ?", " ".join(shown), str(shown.count(colour))


def _shape_position(scene: Scene, rng: np.random.Generator) -> Wording | None:
    pair = _two_unique(scene, rng)
    if pair is None or pair[0].col == pair[1].col:
        return None
    first, second = pair
    rationale = f"{first.shape} {first.col + 1} {second.shape} {second.col + 1}"
    return f"is the {first.shape} left of the {second.shape} ?", rationale, _yes(first.col < second.col)


def _shape_size(scene: Scene, rng: np.random.Generator) -> Wording | None:
    pair = _two_unique(scene, rng)
    if pair is None or pair[0].size == pair[1].size:
        return None
    first, second = pair
    bigger = max(pair, key=lambda mark: words.SIZES.index(mark.size))
    rationale = f"{first.shape} {first.size} {second.shape} {second.size}"
    return f"which is bigger the {first.shape} or the {second.shape} ?", rationale, bigger.shape


def _colour_compare(scene: Scene, rng: np.random.Generator) -> Wording | None:
    shown = [mark.colour for mark in scene.marks]
    colours = list(dict.fromkeys(shown))
    if len(colours) < 2:
        return None
    first, second = (colours[index] for index in rng.permutation(len(colours))[:2].tolist())
    counts = shown.count(first), shown.count(second)
    if counts[0] == counts[1]:
        return None
    rationale = f"{' '.join(shown)} {first} {counts[0]} {second} {counts[1]}"
    return f"are more shapes {first} or {second} ?", rationale, first if counts[0] > counts[1] else second


_SINGLE = ("bar", "line", "pie")
_ASKERS: dict[str, Asker] = {
    "chart_read": _chart_read,
    "chart_colour": _chart_colour,
    "chart_count": _chart_count,
    "chart_present": _present,
    "chart_compare": _chart_compare,
    "chart_largest": _chart_largest,
    "chart_above": _chart_above,
    "chart_difference": _chart_difference,
    "chart_two_step": _chart_two_step,
    "grouped_read": _grouped_read,
    "grouped_compare": _grouped_compare,
    "form_field": _form_field,
    "form_count": _form_count,
    "doc_present": _present,
    "receipt_price": _receipt_price,
    "receipt_compare": _receipt_compare,
    "receipt_total": _receipt_total,
    "receipt_dearest": _receipt_dearest,
    "table_read": _table_read,
    "table_above": _table_above,
    "table_difference": _table_difference,
    "shape_count": _shape_count,
    "shape_present": _shape_present,
    "shape_colour": _shape_colour,
    "colour_count": _colour_count,
    "shape_position": _shape_position,
    "shape_size": _shape_size,
    "colour_compare": _colour_compare,
}

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("chart_read", "chart", _SINGLE, True, "read one value by its label"),
        Family("chart_colour", "chart", ("bar", "pie"), True, "name the colour of one mark"),
        Family("chart_count", "chart", _SINGLE, True, "count the values of a chart"),
        Family("chart_present", "chart", _SINGLE, True, "say whether a label is shown"),
        Family("chart_compare", "chart", _SINGLE, False, "compare two marks"),
        Family("chart_largest", "chart", _SINGLE, False, "find the largest or smallest mark"),
        Family("chart_above", "chart", _SINGLE, False, "count the values above a threshold"),
        Family("chart_difference", "chart", _SINGLE, False, "subtract two values"),
        Family("chart_two_step", "chart", _SINGLE, False, "subtract the smallest from the largest value"),
        Family("grouped_read", "chart", ("grouped",), False, "read one bar of a group"),
        Family("grouped_compare", "chart", ("grouped",), False, "compare two bars of a group"),
        Family("form_field", "document", ("form",), True, "read one field of a form"),
        Family("form_count", "document", ("form",), True, "count the fields of a form"),
        Family("doc_present", "document", ("form", "receipt"), True, "say whether a line is there"),
        Family("receipt_price", "document", ("receipt",), True, "read one price"),
        Family("receipt_compare", "document", ("receipt",), False, "compare two prices"),
        Family("receipt_total", "document", ("receipt",), False, "add up the prices of a receipt"),
        Family("receipt_dearest", "document", ("receipt",), False, "find the dearest item"),
        Family("table_read", "document", ("table",), False, "read a cell by row and column"),
        Family("table_above", "document", ("table",), False, "count a column's values above a threshold"),
        Family("table_difference", "document", ("table",), False, "subtract two cells of a row"),
        Family("shape_count", "perception", ("shapes",), True, "count the shapes"),
        Family("shape_present", "perception", ("shapes",), True, "say whether a shape is there"),
        Family("shape_colour", "perception", ("shapes",), True, "name the colour of a shape"),
        Family("easy_vqa", "perception", (), True, "answer about a single shape"),
        Family("colour_count", "perception", ("shapes",), False, "count the shapes of a colour"),
        Family("shape_position", "perception", ("shapes",), False, "say which shape is further left"),
        Family("shape_size", "perception", ("shapes",), False, "say which shape is bigger"),
        Family("colour_compare", "perception", ("shapes",), False, "say which colour is more frequent"),
    )
}
