"""Lines of JSON from anywhere: each is an object, or the reason why it is none.

file -> read_entries -> (line number, object | Refused)

Nothing that a file holds raises anything else than `Refused`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

MAX_LINE_BYTES = 32 << 20
"""A line may hold pictures as data URLs."""


class Refused(ValueError):
    """A row that is no prompt. The message is the kind of fault and, after a colon, its detail."""


def read_entries(path: Path) -> Iterator[tuple[int, dict[str, Any] | Refused]]:
    """Line numbers with their objects, streaming; blank lines are skipped. OSError if the file cannot be opened."""
    with path.open("rb") as stream:
        for number, raw in enumerate(_lines(stream), start=1):
            if len(raw) > MAX_LINE_BYTES:
                yield number, Refused(f"unreadable row: the line is longer than {MAX_LINE_BYTES} bytes")
            elif raw.strip():
                yield number, parse_object(raw)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines, cut off just beyond the limit: a file without line ends must not fill the memory."""
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        tail = raw
        while not tail.endswith(b"\n") and len(tail) > MAX_LINE_BYTES:
            tail = stream.readline(MAX_LINE_BYTES + 1)
        yield raw


def parse_object(raw: bytes) -> dict[str, Any] | Refused:
    """The object that some bytes are, or why they are none."""
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Refused(f"unreadable row: not UTF-8: {error.reason} at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Refused(f"unreadable row: not JSON: {error}")
    if not isinstance(value, dict):
        return Refused(f"unreadable row: not a JSON object but {type(value).__name__}")
    return value
