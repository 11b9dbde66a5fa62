"""Files that are there whole or not at all: temporary name, flush to disk, then replace."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

TEMPORARY = ".tmp-"
"""Prefix of names that a crash may leave behind; nothing reads them."""

FEW = 8
"""Up to so many files are flushed one by one: about what one `sync` of the whole system costs (4 ms a file)."""


def temporary_beside(path: Path) -> Path:
    """A fresh name in the same folder, hence on the same file system."""
    return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then give it its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        write(temporary)
        flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush(path.parent)


def write_all_whole(files: Mapping[Path, bytes]) -> None:
    """Write many small files. First all bytes are on the disk, then all get their names, then the names are on it too.

    A crash leaves some of them under their names, each of them whole.
    """
    temporaries = {path: temporary_beside(path) for path in files}
    folders = {path.parent for path in files}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        for path, temporary in temporaries.items():
            temporary.write_bytes(files[path])
        _flush_all(temporaries.values())
        for path, temporary in temporaries.items():
            temporary.replace(path)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
    _flush_all(folders)


def _flush_all(paths: Collection[Path]) -> None:
    """Put files, or the names in folders, onto the disk."""
    if len(paths) > FEW and sys.platform == "linux":
        os.sync()  # waits on Linux only; elsewhere it may return before anything is written
        return
    for path in paths:
        flush(path)


def flush(path: Path) -> None:
    """Have the system put a file, or the names in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
