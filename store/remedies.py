"""What to do about an error of SQLite, by its code: the end of the line that a person reads."""

from __future__ import annotations

import sqlite3
from pathlib import Path

BACKUPS = "backups"
"""Folder of the archives that `deltaloop serve` writes beside the ledger, unless `service.backup_dir` names another."""

BY_CODE = {
    sqlite3.SQLITE_FULL: "free some disk (`deltaloop gc` removes what no row names), then run again",
    sqlite3.SQLITE_READONLY: "make the folder and its disk writable, or name another folder, then run again",
    sqlite3.SQLITE_CANTOPEN: "check the path, its rights, and how many files may be open (ulimit -n), then run again",
    sqlite3.SQLITE_BUSY: "another program has held the file for too long: end it, then run again",
}
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
OTHERWISE = "check the path, the disk and other writers, then run again"


def remedy(cause: object, file: str | None) -> str:
    """What to do; `file` is the ledger's, if it is one."""
    code = getattr(cause, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF  # the rest says where it came up
    if primary in DAMAGED and file is not None:
        return _restore(Path(file))
    return BY_CODE.get(primary, OTHERWISE) if primary is not None else OTHERWISE


def _restore(ledger: Path) -> str:
    archives = sorted((ledger.parent / BACKUPS).glob("*.tar"), key=lambda path: path.stat().st_mtime)
    found = f"{archives[-1]} is the newest backup" if archives else f"there is none in {ledger.parent / BACKUPS}"
    archive = archives[-1] if archives else "BACKUP.tar"
    return (
        f"the file is damaged: keep it, and go on in a new home from a backup ({found}):"
        f" deltaloop restore {archive} --home NEW"
    )
