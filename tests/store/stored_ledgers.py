"""Ledgers as each schema version left them, as SQL.

`python -m tests.store.stored_ledgers` adds that of the newest one.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from store.migrate import newest_revision
from tests.store.facts import FilledHome

FOLDER = Path(__file__).parents[1] / "assets" / "ledgers"


def stored(revision: str, path: Path) -> Path:
    """A ledger that a program of this revision left at a path."""
    with sqlite3.connect(path) as connection:
        connection.executescript((FOLDER / f"{revision}.sql").read_text(encoding="utf-8"))
    connection.close()
    return path


def store_newest() -> Path:
    """Write a filled ledger of the newest revision, unless one is there: what is released is never edited."""
    target = FOLDER / f"{newest_revision()}.sql"
    with tempfile.TemporaryDirectory() as folder:
        home = FilledHome(Path(folder))
        home.fill()
        home.ledger.close()
        with sqlite3.connect(Path(folder) / "ledger.db") as connection:
            # A full-text index has no rows of its own to insert: the tables that it lies in are dumped too.
            lines = (line for line in connection.iterdump() if not line.startswith('INSERT INTO "prompt_words"'))
            text = "\n".join(lines) + "\n"
        connection.close()
    if not target.exists():
        target.write_text(text, encoding="utf-8")
    return target


if __name__ == "__main__":
    print(store_newest())
