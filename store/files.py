"""Files that are there whole or not at all: temporary name, flush to disk, then replace."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path

TEMPORARY = ".tmp-"
"""Prefix of names that a crash may leave behind; nothing reads them."""


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


def flush(path: Path) -> None:
    """Have the system put a file, or the names in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
