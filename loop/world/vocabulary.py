"""The closed vocabulary: every word and number that a scene prints, a question asks or an answer says."""

from __future__ import annotations

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (0, 0, 0),
    "blue": (0, 0, 255),
    "brown": (165, 42, 42),
    "gray": (128, 128, 128),
    "green": (0, 128, 0),
    "red": (255, 0, 0),
    "teal": (0, 128, 128),
    "yellow": (255, 255, 0),
}
"""Colours of marks: the eight of easy-vqa, so that both kinds of picture share their words."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LETTERS = ("a", "b", "c", "d", "e", "f", "g", "h")
LABEL_SETS = (MONTHS, DAYS, LETTERS)
ITEMS = ("tea", "milk", "egg", "jam", "rice", "salt", "oil", "fish", "soap", "nut", "corn", "pie")
FIELDS = ("age", "size", "room", "desk", "seat", "gate", "code", "unit", "week", "rate")
HEADERS = ("low", "high", "old", "new", "in", "out")
SHAPES = ("circle", "square", "triangle", "cross", "diamond", "ring")
SIZES = ("small", "medium", "large")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
TOP_NUMBER = 99

_PHRASES = (
    "what is the value of color how many values are shown larger which or label has largest smallest there",
    "above much than minus for fields filled item cost costs more does most total price shapes",
    "shape left right bigger yes no none number rows field describe all chart rectangle image contain not present",
    "in and it do any does a an be picture smaller below count position size big list",
)


def world_words() -> tuple[str, ...]:
    """All words of the world in a fixed order, ``Answer:`` first, then the numbers 0 to 99, no repeats."""
    groups = (*LABEL_SETS, ITEMS, FIELDS, HEADERS, SHAPES, SIZES, ORDINALS, tuple(COLOURS))
    words = [word for group in groups for word in group]
    words += [word for phrase in _PHRASES for word in phrase.split()]
    numbers = [str(number) for number in range(TOP_NUMBER + 1)]
    return tuple(dict.fromkeys(["Answer:", *numbers, *words]))
