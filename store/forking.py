"""A fork of a home: a home of its own that begins with all facts of another one, and pays for none of them again.

ledger         all rows but leases and orders, in one snapshot
blobs, checkpoints    the same files, linked where the file system can: they never change
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from store.copying import copy_rows
from store.ledger import Ledger

LINKED = ("blobs", "checkpoints")


def fork(ledger: Ledger, home: Path, target: Path) -> None:
    """Make `target` a fork of a home, whole or not at all; one that is there already is left as it is."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        copy = Ledger(made / "ledger.db")
        copy_rows(ledger.database, copy.database)
        copy.close()
        for name in LINKED:  # after the rows: what they name was written before them
            if (home / name).is_dir():
                shutil.copytree(home / name, made / name, copy_function=_link)
        made.rename(target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
