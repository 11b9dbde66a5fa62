"""Content-addressed bytes in a folder: images, stage outputs, arrays.

<folder>/ab/cdef...    the sha256 of the file's bytes is abcdef...
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from store.errors import Corrupt, Missing
from store.files import write_all_whole
from store.records import digest

_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """Blobs as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Store bytes, return their sha256. Bytes that are there already are not written again."""
        return self.put_all([data])[0]

    def put_all(self, many: Sequence[bytes]) -> list[str]:
        """Store several pieces, return their sha256s in order. All are on the disk when it returns.

        The disk is waited for twice in all, not twice a piece: that is what makes an import fast.
        """
        names = [digest(data) for data in many]
        pieces = {self.path(name): data for name, data in zip(names, many, strict=True)}
        write_all_whole({path: data for path, data in pieces.items() if not _holds(path, len(data))})
        return names

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


def _holds(path: Path, size: int) -> bool:
    """Whether the file is there; one that a crash of the machine cut short has another size, and is replaced."""
    try:
        os.utime(path)  # wanted again: as new to `store.garbage` as one that is written
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


_sha256 = digest  # `get` has a parameter of that name
