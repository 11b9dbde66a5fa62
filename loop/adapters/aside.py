"""Blobs that a home need not keep: pictures that are looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from store.records import digest

if TYPE_CHECKING:
    from loop.ports import Blobs


class Aside:
    """Blobs in memory, on top of others if there are any."""

    def __init__(self, below: Blobs | None = None) -> None:
        self._below = below
        self._own: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep bytes in memory."""
        name = digest(data)
        self._own[name] = data
        return name

    def put_all(self, many: Sequence[bytes]) -> list[str]:
        """Keep several pieces."""
        return [self.put(data) for data in many]

    def get(self, digest: str) -> bytes:
        """From memory, else from below. KeyError if absent there too."""
        return self._own[digest] if digest in self._own or self._below is None else self._below.get(digest)
