"""What a person is told to do: of a damaged ledger to restore, and which backup; of the disk what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from store.errors import LedgerUnusable
from store.ledger import Ledger
from store.records import Prompt
from store.remedies import OTHERWISE, remedy


def damage(file: Path) -> None:
    """A page in the middle of the ledger becomes noise."""
    with Ledger(file) as ledger:
        ledger.add_prompts([Prompt.make(f"question {number}") for number in range(200)], pool="pool")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'prompts'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xa5" * size)


def test_of_a_damaged_ledger_the_newest_backup_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    damage(file)
    with Ledger(file) as ledger, pytest.raises(LedgerUnusable, match=r"there is none in .*backups\)") as told:
        ledger.pool("pool")
    assert "deltaloop restore BACKUP.tar --home NEW" in str(told.value)
    (tmp_path / "backups").mkdir()
    for age, name in enumerate(("new.tar", "old.tar")):
        (tmp_path / "backups" / name).touch()
        os.utime(tmp_path / "backups" / name, (1000 - age, 1000 - age))
    with (
        Ledger(file) as ledger,
        pytest.raises(LedgerUnusable, match=r"deltaloop restore \S*backups/new\.tar --home NEW"),
    ):
        ledger.pool("pool")


def full(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        connection.execute("CREATE TABLE rows (text)")
        connection.execute("INSERT INTO rows VALUES (?)", ("x" * 100_000,))


def read_only(file: Path) -> None:
    sqlite3.connect(file).close()
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        connection.execute("CREATE TABLE rows (text)")


def no_folder(file: Path) -> None:
    sqlite3.connect(file / "none" / "file.db")


@pytest.mark.parametrize(("fail", "told"), [(full, "deltaloop gc"), (read_only, "writable"), (no_folder, "ulimit -n")])
def test_an_error_of_the_disk_says_what_to_do(tmp_path: Path, fail: Callable[[Path], None], told: str) -> None:
    with pytest.raises(sqlite3.OperationalError) as error:
        fail(tmp_path / "file.db")
    assert told in remedy(error.value, str(tmp_path / "file.db"))
    assert remedy(RuntimeError("of a server"), None) == OTHERWISE
