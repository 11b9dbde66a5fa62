"""Ranges and lists: answers made of several answers, each brought into its own form.

2010-2012, from 2010 to 2012 -> `2010 to 2012`        red, blue and green -> `red, blue, green`
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from policies.answer_forms.dates import date_form, is_month
from policies.answer_forms.numbers import Percent, Quantity, read_quantity

MAX_RANGE = 120
MAX_ITEM_WORDS = 6
"""A longer item makes the whole a sentence, in which commas mean nothing."""

MAX_ITEMS = 500
"""An answer of more is compared as one text."""

_BETWEEN = re.compile(r"(?:between (?P<low>.+?) and |from (?P<low2>.+?) (?:to|until|till|through|-) )(?P<high>.+)")
_CONNECTOR = re.compile(r" (?:to|through|thru|until|till|-|~) ?|(?<=[0-9%])(?:\.{2,3}|~)(?=[^. ])")
_HYPHEN = re.compile(r"(?<=[0-9%a-z°])-(?=[-+$€£¥]?[0-9.a-z])")
_YEAR = re.compile(r"[12][0-9]{3}")
_TWO_DIGITS = re.compile(r"[0-9]{2}")
_SEMICOLON = re.compile(r" ?; ?(?:and )?")
_COMMA = re.compile(r" ?(?:,(?![0-9]{3}(?![0-9]))|(?<![0-9]),) ?(?:and |& )?")
_AND = re.compile(r" (?:and|&) ")


def range_form(text: str, *, percent: Percent, day_first: bool) -> str | None:
    """`low to high` of a folded text that is a range of numbers or dates, else None. A unit at one end is at both."""
    if len(text) > MAX_RANGE:
        return None
    ends = _ends(text)
    if ends is None:
        return None
    low, high = ends
    low_date, high_date = (None if _YEAR.fullmatch(end) else date_form(end, day_first=day_first) for end in ends)
    if low_date and high_date:
        return f"{low_date} to {high_date}"
    if _YEAR.fullmatch(low) and _TWO_DIGITS.fullmatch(high) and high > low[2:]:
        high = low[:2] + high
    start, stop = read_quantity(low), read_quantity(high)
    if start is None or stop is None:
        return None
    start, stop = _shared(start, stop)
    return f"{start.form(percent)} to {stop.form(percent)}"


def list_items(text: str) -> list[str] | None:
    """The items of a folded text that is a list, else None. A comma inside of a number is no separator."""
    if text.count(";") + text.count(",") > MAX_ITEMS:
        return None
    if ";" in text:
        parts = _SEMICOLON.split(text)
    elif "," in text:
        parts = _COMMA.split(text)
    elif " and " in text or " & " in text:
        parts = [text]
    else:
        return None
    *first, last = parts
    items = [part.strip() for part in (*first, *_AND.split(last))]
    if any(item.count(" ") >= MAX_ITEM_WORDS for item in items):
        return None
    items = [item for item in items if item]
    return items if 1 < len(items) <= MAX_ITEMS else None


def list_form(items: list[str], one: Callable[[str], str], *, ordered: bool) -> str:
    """The forms of the items, in their order or sorted."""
    forms = [one(item) for item in items]
    return ", ".join(forms if ordered else sorted(forms))


def _ends(text: str) -> tuple[str, str] | None:
    between = _BETWEEN.fullmatch(text)
    if between:
        return between["low"] or between["low2"], between["high"]
    parts = _CONNECTOR.split(text)
    if len(parts) == 2:
        return (parts[0], parts[1]) if all(parts) else None
    if len(parts) > 2:
        return None
    parts = _HYPHEN.split(text)
    if len(parts) != 2 or not all(_begins_with_digits(part) or is_month(part.split(" ")[0]) for part in parts):
        return None
    return parts[0], parts[1]


def _begins_with_digits(text: str) -> bool:
    return text.lstrip("+-$€£¥.")[:1].isdecimal()


def _shared(low: Quantity, high: Quantity) -> tuple[Quantity, Quantity]:
    """`5-10 million km` is 5 million km to 10 million km."""
    if high.scale and not low.scale and not low.unit and len(low.number.digits) <= 3:
        low = replace(low, number=low.number.times_power_of_ten(high.scale))
    return (replace(low, unit=high.unit) if not low.unit else low), high
