"""Content-addressed model folders. Files are hashed and moved, never opened as models (so no pickle is ever loaded).

<folder>/<digest>/...    the digest is that of {relative path: sha256 of the file}
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from store.errors import Missing
from store.files import flush, temporary_beside
from store.records import digest_of

_DIGEST = re.compile(r"[0-9a-f]{64}")


def folder_digest(path: Path) -> str:
    """The sha256 of the canonical JSON of {relative posix path: sha256 of the file}, over all files below a folder.

    Links to files count as the files (hub caches consist of them). Missing (a KeyError) if there is no file.
    """
    files = {file.relative_to(path).as_posix(): _file_digest(file) for file in _files(path)}
    if not files:
        raise Missing(f"{path}: there is no model folder with files in it; correct the path")
    return digest_of(files)


class FileCheckpoints:
    """Checkpoints as folders named by their digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, folder: Path) -> str:
        """Move a folder in under the digest of its files; returns that digest.

        If an equal one is there already, that one stays and `folder` is removed all the same.
        """
        digest = folder_digest(folder)
        target = self._folder / digest
        if folder.resolve() == target.resolve():
            return digest
        if _is_whole(target, digest):
            shutil.rmtree(folder)
            return digest
        self._folder.mkdir(parents=True, exist_ok=True)
        arrived = temporary_beside(target)
        shutil.move(folder, arrived)  # a rename, or a copy where the file systems differ
        for file in _files(arrived):
            flush(file)
        if target.exists():  # cut short by a crash of the machine
            shutil.rmtree(target)
        arrived.replace(target)
        flush(self._folder)
        return digest

    def path(self, digest: str) -> Path:
        """The folder of a checkpoint. Missing (a KeyError) if absent."""
        path = self._folder / digest
        if not _DIGEST.fullmatch(digest) or not path.is_dir():
            raise Missing(f"{path}: there is no such checkpoint; restore it from a backup, or run that round again")
        return path

    def __iter__(self) -> Iterator[str]:
        """The digests of all checkpoints, sorted."""
        names = sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []
        yield from (name for name in names if _DIGEST.fullmatch(name))


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole(folder: Path, digest: str) -> bool:
    return folder.is_dir() and any(_files(folder)) and folder_digest(folder) == digest
