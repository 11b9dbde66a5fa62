"""Elements of one JSON array, as LLaVA's files are: each is an object, or the reason why it is none.

file -> text and marks -> pieces between the commas of the array -> (number, object | Refused)

Each piece is parsed alone. So the file is never in memory as a whole, and what is wrong within an element costs only
that one; where a quote or a bracket is missing, what follows up to the next that matches is one bad element with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from loop.adapters.jsonl import MAX_LINE_BYTES, Refused, parse_object

CHUNK_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"
_OUTSIDE = re.compile(rb'["\[\]{},]')
_IN_STRING = re.compile(rb'["\\]')


def is_array(path: Path) -> bool:
    """Whether a file begins as an array does. OSError if it cannot be read."""
    with path.open("rb") as stream:
        return stream.read(CHUNK_BYTES).removeprefix(BOM).lstrip().startswith(b"[")


def read_elements(path: Path, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[tuple[int, dict[str, Any] | Refused]]:
    """Elements of an array with their numbers, counted from 1, streaming. OSError if the file cannot be opened."""
    with path.open("rb") as stream:
        for number, (raw, end) in enumerate(_pieces(_marked(stream, chunk_bytes)), start=1):
            if not end:
                yield number, Refused("unreadable row: the file ends before its array does")
            elif end not in b",]":
                yield number, Refused("unreadable row: text after the end of the array")
            elif len(raw) > MAX_LINE_BYTES:
                yield number, Refused(f"unreadable row: the element is longer than {MAX_LINE_BYTES} bytes")
            elif number > 1 or end == b"," or raw.strip():  # else the array is empty
                yield number, parse_object(raw)


def _pieces(marked: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """The elements' text, each with what ends it: a comma, the array's bracket, or nothing if the file does."""
    piece, depth = bytearray(), 0
    for text, mark in marked:
        piece += text
        if depth == 1 and mark in (b",", b"]"):
            yield bytes(piece), mark
            if mark == b"]":
                break
            piece.clear()
        elif depth == 0 and mark == b"[":
            piece.clear()
            depth = 1
        else:
            piece += mark
            if mark in (b"[", b"{"):
                depth += 1
            elif mark in (b"]", b"}"):
                depth = max(depth - 1, 1)
        del piece[MAX_LINE_BYTES + 1 :]  # what is longer is refused, and must not fill the memory
    else:
        yield bytes(piece), b""
    if any((text + mark).strip() for text, mark in marked):
        yield b"", b"..."


def _marked(stream: BinaryIO, chunk_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """Text up to a bracket or comma outside of strings, and that; no mark where only the chunk ends."""
    in_string = escaped = False
    while chunk := stream.read(chunk_bytes):
        begin, at, escaped = 0, int(escaped), False
        while mark := (_IN_STRING if in_string else _OUTSIDE).search(chunk, at):
            at = mark.end()
            if mark[0] == b"\\":
                escaped = at == len(chunk)
                at += 1
            elif mark[0] == b'"':
                in_string = not in_string
            else:
                yield chunk[begin : mark.start()], mark[0]
                begin = at
        yield chunk[begin:], b""
