"""Image cells of a table: bytes, a data URL or a path beside the table become the bytes of a picture that decodes.

    bytes | {"bytes", "path"} (as `datasets` keeps an undecoded image) | "data:image/png;base64,..." | "charts/1.png"
        -> Pictures.read -> bytes, or Refused with the reason

No URL is fetched, and no path leaves the folder of the table.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

from loop.adapters.images import decode
from loop.adapters.jsonl import Refused
from store.records import digest

MAX_IMAGE_BYTES = 64 << 20
REMEMBERED = 50_000
"""Digests of pictures known to decode: rows that share a picture decode it once."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_DATA_URL = re.compile(r"data:[\w/+.;=-]*?;base64,", re.ASCII)


class Pictures:
    """Reads the image cells of one table."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` holds the pictures that paths name; None if the table may name none."""
        self._folder = folder.resolve() if folder is not None else None
        self._good: OrderedDict[str, None] = OrderedDict()

    def read(self, cell: Any) -> bytes:
        """The bytes of a picture that decodes. `Refused`, with the reason, otherwise."""
        name, data = self._bytes(cell)
        if len(data) > MAX_IMAGE_BYTES:
            raise Refused(f"huge image: {name} is larger than {MAX_IMAGE_BYTES} bytes")
        key = digest(data)
        if key not in self._good:
            try:
                decode(data)
            except ValueError as error:
                raise Refused(f"undecodable image: {name}: {error}") from None
            self._good[key] = None
            if len(self._good) > REMEMBERED:
                self._good.popitem(last=False)
        return data

    def _bytes(self, cell: Any) -> tuple[str, bytes]:
        """A name to show, and the bytes."""
        if isinstance(cell, dict) and ("bytes" in cell or "path" in cell):
            name, data = cell.get("path"), cell.get("bytes")
            if isinstance(data, bytes):
                return repr(name) if isinstance(name, str) else "the cell", data
            cell = name
        if cell is None:
            raise Refused("null image")
        if isinstance(cell, bytes):
            return "the cell", cell
        if not isinstance(cell, str):
            raise Refused(f"undecodable image: the cell holds {type(cell).__name__}, neither bytes nor a path")
        if cell.startswith("data:"):
            return "the data URL", _from_data_url(cell)
        if _URL.match(cell):
            raise Refused(f"image elsewhere: {_short(cell)} is a URL, and none is fetched; download it first")
        return _short(cell), self._from_file(cell)

    def _from_file(self, name: str) -> bytes:
        folder, shown = self._folder, _short(name)
        if folder is None:
            raise Refused(f"image elsewhere: {shown} is a path, and this table holds no files; embed the pictures")
        try:
            path = (folder / name).resolve()
            if not path.is_relative_to(folder):
                raise Refused(f"image elsewhere: {shown} lies outside the folder of the file")
            if not path.is_file():
                raise Refused(f"missing image: there is no image file {shown}")
            if path.stat().st_size > MAX_IMAGE_BYTES:
                raise Refused(f"huge image: {shown} is larger than {MAX_IMAGE_BYTES} bytes")
            return path.read_bytes()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            raise Refused(f"missing image: {shown} cannot be read: {error}") from None
        except Refused:
            raise
        except ValueError as error:  # a NUL in the path, a lone surrogate
            raise Refused(f"missing image: {shown} is not a path: {error}") from None


def _from_data_url(url: str) -> bytes:
    head = _DATA_URL.match(url)
    if head is None:
        raise Refused(f"undecodable image: {_short(url)} is no base64 data URL")
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"undecodable image: the data URL is no base64: {error}") from None


def _short(name: str) -> str:
    return ascii(name if len(name) <= 100 else f"{name[:100]}…")
