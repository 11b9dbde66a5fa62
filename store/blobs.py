"""Content-addressed bytes in a folder: images, stage outputs, arrays.

<folder>/ab/cdef...    the sha256 of the file's bytes is abcdef...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from store.errors import Corrupt, Missing
from store.files import write_whole
from store.records import digest

_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """Blobs as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Store bytes, return their sha256. Bytes that are there already are not written again."""
        name = digest(data)
        path = self.path(name)
        try:
            held = path.stat().st_size
        except FileNotFoundError:
            held = -1
        if held != len(data):  # a file that a crash of the machine cut short is replaced
            write_whole(path, lambda temporary: temporary.write_bytes(data))
        return name

    def get(self, digest: str) -> bytes:
        """The bytes. Missing (a KeyError) if absent; Corrupt if they do not match their digest."""
        if not _DIGEST.fullmatch(digest):
            raise Missing(f"{digest!r} is not the sha256 of a blob")
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise Missing(f"{path}: this blob is missing; restore it from a backup") from None
        if _sha256(data) != digest:
            raise Corrupt(f"{path}: the bytes do not match the name; restore it from a backup, or delete it and rerun")
        return data

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self._folder / digest[:2] / digest[2:]

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def __iter__(self) -> Iterator[str]:
        """The digests of all blobs, sorted; other files in the folder are passed over."""
        for folder in sorted(self._folder.glob("[0-9a-f][0-9a-f]")):
            names = (folder.name + path.name for path in sorted(folder.iterdir()))
            yield from (name for name in names if _DIGEST.fullmatch(name))


_sha256 = digest  # `get` has a parameter of that name
