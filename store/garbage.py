"""Garbage: what no row names any more, and nobody comes back for.

    blobs/        a file that no row names                      an interrupted or dropped stage left it
    checkpoints/  a folder that no version names                training ended, and its row was never written
    work/         <campaign>/<round> of a completed round       training checkpoints, never resumed from again
    anywhere      temporary names (store/files.py)              a crash left them

All of it only if it is older than `older_than_s`: what a stage stores now is named by a row when the stage ends, and
storing a blob again makes it new. A version that the ledger names is kept for ever, also one that was not promoted:
every version of the ledger was compared with the student of its time.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.errors import UsageError
from store.files import TEMPORARY
from store.ledger import Ledger
from store.records import Status
from store.references import checkpoint_references, named_blobs

OLDER_THAN_S = 7 * 86_400.0
"""Longer than any stage is expected to take."""


@dataclass(frozen=True)
class Garbage:
    """A file or folder that may go."""

    path: Path
    what: str
    num_bytes: int


def collect(
    ledger: Ledger,
    blobs: FileBlobs,
    checkpoints: FileCheckpoints,
    home: Path,
    *,
    now_s: float | None = None,
    older_than_s: float = OLDER_THAN_S,
    dry_run: bool = False,
) -> list[Garbage]:
    """Remove garbage from a home, and tell what it was; a dry run only tells.

    LedgerUnusable if rows cannot be read. UsageError if the ledger names nothing of the home: it is another home's.

    Args:
        ledger: whose rows decide what is named.
        blobs: images and stage outputs.
        checkpoints: trained models.
        home: the folder that holds both, and `work`.
        now_s: the time to measure ages from, in seconds since 1970; None is now.
        older_than_s: whatever changed later is kept.
        dry_run: remove nothing.
    """
    before = (time.time() if now_s is None else now_s) - older_than_s
    # Looked for before the rows are read: what is named between the two is not taken for garbage.
    present = [(digest, blobs.path(digest)) for digest in blobs], [*checkpoints]
    with ledger.database.reading() as connection:
        named = named_blobs(connection).keys()
        trained = {digest for digest, _ in checkpoint_references(connection)}
    if present[0] and named.isdisjoint(digest for digest, _ in present[0]):
        raise UsageError(
            f"the ledger names none of the {len(present[0])} blobs in {home}: nothing is removed; give this home's"
            " ledger with --ledger"
        )
    found = [
        *((path, "blob that no row names") for digest, path in present[0] if digest not in named),
        *(
            (checkpoints.path(digest), "checkpoint that no version names")
            for digest in present[1]
            if digest not in trained
        ),
        *((path, "training checkpoints of a completed round") for path in _scratch(ledger, home / "work")),
        *((path, "left by a crash") for path in home.rglob(f"{TEMPORARY}*")),
    ]
    garbage = []
    for path, what in found:
        with suppress(FileNotFoundError):  # its owner, or another collector, was faster
            if _newest(path) < before:
                garbage.append(Garbage(path, what, sum(file.stat().st_size for file in _files(path))))
                if not dry_run:
                    _remove(path)
    return garbage


def _scratch(ledger: Ledger, work: Path) -> Iterator[Path]:
    for campaign in ledger.campaigns():
        for row in ledger.rounds(campaign.name):
            folder = work / campaign.name / str(row.index)
            if row.status is Status.COMPLETED and folder.is_dir():
                yield folder


def _files(path: Path) -> Iterator[Path]:
    return (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else iter([path])


def _newest(path: Path) -> float:
    """When anything in a file or folder changed last, in seconds since 1970."""
    return max([path.stat().st_mtime, *(file.stat().st_mtime for file in _files(path))])


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
