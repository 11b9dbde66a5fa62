"""Dates: `2020-05-03`, `2020-05`, `may 3`, `march`, `2020-q1`, `1990s`, `500 bc`, or None for what is no date.

A year alone is a number, which is what it looks like. `5/3/2020` is read month first unless a setting says otherwise,
or there is no such month.
"""

from __future__ import annotations

import calendar
import re

MAX_DATE = 60

_MONTHS = {name.lower(): month for month, name in enumerate(calendar.month_name) if name}
_SHORT = {name[:3]: month for name, month in _MONTHS.items()} | {"sept": 9}
_NAMES = _SHORT | _MONTHS
_MONTH = rf"(?P<month>{'|'.join(sorted(_NAMES, key=len, reverse=True))})\.?(?![a-z0-9])"
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?(?![0-9a-z])"
_YEAR = r"(?P<year>[0-9]{4})(?![0-9a-z])"
_ORDINALS = {"first": "1", "second": "2", "third": "3", "fourth": "4"}

_AHEAD = re.compile(
    r"(?:on |in |the |month of |(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?[,.]? (?=[0-9a-z]))*+"
)
_NAMED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_MONTH}[ -]?(?:the )?{_DAY}(?:,? |-|,){_YEAR}",
        rf"{_DAY}(?: of )?[ .-]*(?:of )?{_MONTH}[ ,.-]*{_YEAR}",
        rf"{_YEAR}[ ,.-]*{_MONTH}[ .-]*{_DAY}",
        rf"{_MONTH}[ ,.-]*(?:of )?{_YEAR}",
        rf"{_YEAR}[ ,.-]*{_MONTH}",
        rf"{_MONTH}[ -]?(?:the )?{_DAY}",
        rf"{_DAY}(?: of )?[ .-]*{_MONTH}",
        _MONTH,
        r"(?P<year>[0-9]{4})年(?:(?P<monthno>[0-9]{1,2})月(?:(?P<day>[0-9]{1,2})日)?)?",
        r"(?P<year>[0-9]{4})-(?P<monthno>[0-9]{1,2})-(?P<day>[0-9]{1,2})(?:[t ]00:00(?::00(?:\.0+)?)?z?)?",
        r"(?P<year>[0-9]{4})([/.])(?P<monthno>[0-9]{1,2})\2(?P<day>[0-9]{1,2})",
        r"(?P<year>[12][0-9]{3})[-/](?P<monthno>0[1-9]|1[0-2])",
        r"(?P<monthno>0[1-9]|1[0-2])/(?P<year>[12][0-9]{3})",
    )
)
_NUMERIC = re.compile(r"(?P<one>[0-9]{1,2})(?P<sep>[/.-])(?P<two>[0-9]{1,2})(?P=sep)(?P<year>[0-9]{4})")
_QUARTER = re.compile(
    r"(?:q(?P<q>[1-4])|(?P<qword>first|second|third|fourth|1st|2nd|3rd|4th) quarter)"
    r"(?:,? (?:of )?|[-/'])?(?P<year>[0-9]{4})"
    r"|(?P<year2>[0-9]{4})[ ,-]*q(?P<q2>[1-4])"
)
_DECADE = re.compile(r"(?P<decade>[0-9]{3}0)'?s")
_ERA = re.compile(r"(?:(?P<ad>ad|ce) )?(?P<year>[0-9]{1,6}) ?(?P<era>ad|ce|bce?)?")
_YEAR_ONLY = re.compile(r"(?:in )?(?:the )?(?:year )?(?P<year>[12][0-9]{3})")


def date_form(text: str, *, day_first: bool = False) -> str | None:
    """The form of a folded text that is a date, else None."""
    if len(text) > MAX_DATE:
        return None
    if "b.c." in text or "a.d." in text or "c.e." in text:
        text = text.replace(".", "")
    text = text[_AHEAD.match(text).end() :]  # type: ignore[union-attr]
    return _named(text) or _numeric(text, day_first) or _period(text)


def is_month(text: str) -> bool:
    """Whether a word names a month."""
    return text.rstrip(".") in _NAMES


def _named(text: str) -> str | None:
    for pattern in _NAMED:
        found = pattern.fullmatch(text)
        if found:
            parts = found.groupdict()
            month = _NAMES[parts["month"]] if parts.get("month") else int(parts.get("monthno") or 0)
            return _form(parts.get("year"), month, int(parts.get("day") or 0))
    return None


def _numeric(text: str, day_first: bool) -> str | None:
    found = _NUMERIC.fullmatch(text)
    if found is None:
        return None
    month, day = int(found["one"]), int(found["two"])
    if month > 12 or (day <= 12 and (day_first or found["sep"] == ".")):  # points are written day first everywhere
        month, day = day, month
    return _form(found["year"], month, day)


def _period(text: str) -> str | None:
    quarter = _QUARTER.fullmatch(text)
    if quarter:
        named = quarter["qword"]
        number = quarter["q"] or quarter["q2"] or _ORDINALS.get(named) or named[0]
        return f"{quarter['year'] or quarter['year2']}-q{number}"
    decade = _DECADE.fullmatch(text)
    if decade:
        return f"{decade['decade']}s"
    era = _ERA.fullmatch(text)
    if era and (era["ad"] or era["era"]):
        year = str(int(era["year"]))
        return f"{year} bc" if (era["era"] or "").startswith("b") else year
    year_only = _YEAR_ONLY.fullmatch(text)
    return year_only["year"] if year_only else None


def _form(year: str | None, month: int, day: int) -> str | None:
    """ISO 8601 where there is a year; None for days that no calendar has."""
    if month == 0:
        return year
    if not 1 <= month <= 12:
        return None
    longest = 29 if month == 2 and year is None else calendar.monthrange(int(year or 2000) or 4, month)[1]
    if not 0 <= day <= longest:
        return None
    if year is None:
        name = list(_MONTHS)[month - 1]
        return f"{name} {day}" if day else name
    return f"{year}-{month:02}-{day:02}" if day else f"{year}-{month:02}"
