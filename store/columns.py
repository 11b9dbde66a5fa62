"""Column types: how values of the records become SQL values, and exactly the same values again.

any text   -> TEXT, with what neither SQLite nor PostgreSQL can hold (NUL, lone surrogates) escaped, reversibly
structures -> TEXT holding JSON; an array comes back as a tuple
enums      -> their value
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any

from sqlalchemy import String, Text, TypeDecorator, collate
from sqlalchemy.engine import Dialect

ESCAPE = "\x1b"
"""A control character that ordinary text never holds: ordinary text is stored as it is, and stays readable in SQL."""

_UNSTORABLE = re.compile(f"[\x00{ESCAPE}\ud800-\udfff]")
_ESCAPED = re.compile(f"{ESCAPE}([0-9a-f]+);")


def escape(text: str) -> str:
    """Text that any SQL database stores; `unescape` gives back the original."""
    return _UNSTORABLE.sub(lambda match: f"{ESCAPE}{ord(match[0]):x};", text)


def unescape(text: str) -> str:
    """The inverse of `escape`."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if ESCAPE in text else text


class AnyText(TypeDecorator[str]):
    """Text that somebody else wrote: questions, responses, error messages."""

    impl: type[String] = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Escape."""
        return None if value is None else escape(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Unescape."""
        return None if value is None else unescape(value)


class AnyName(AnyText):
    """A name that somebody else chose, e.g. that of a suite."""

    impl = String
    cache_ok = True


class Json(TypeDecorator[Any]):
    """A structure. NaN and infinity are refused (ValueError): they would not survive every reader of JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Dump. Not as ASCII: its escapes would join two adjacent lone surrogates into one character."""
        return escape(json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Load; records hold tuples."""
        loaded = json.loads(unescape(value or "null"))
        return tuple(loaded) if isinstance(loaded, list) else loaded


class Named(TypeDecorator[StrEnum]):
    """A member of an enum, as its value."""

    impl = String
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__()
        self.enum = enum
        self._members = {member.value: member for member in enum}  # many times faster than enum(value)

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        """The value; a string that is no member is refused (ValueError)."""
        return None if value is None else value.value if type(value) is self.enum else self.enum(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """The member."""
        return None if value is None else self._members.get(value) or self.enum(value)


def byte_order(column: Any, dialect: Dialect) -> Any:
    """A column to order by: strings by their bytes. SQLite does so; a server may follow the rules of some language."""
    held = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    return collate(column, "C") if isinstance(held, String) and dialect.name == "postgresql" else column
