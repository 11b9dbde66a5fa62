"""All rows of one ledger into another one, empty so far: between an SQLite file and a server, either way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from store.bulk import insert
from store.database import Database
from store.tables import LeaseRow, OrderRow, QuarantineRow, Row, VersionRow

ROWS = 5_000
"""Held in memory at a time."""

NOT_COPIED = {LeaseRow.__tablename__, OrderRow.__tablename__}
"""Who works on a campaign here does not work on its copy, and what is asked of them is asked of nobody there."""


def copy_rows(source: Database, target: Database) -> None:
    """Copy one snapshot in one transaction. Both must be at the newest schema."""
    with source.reading() as read, target.writing() as write:
        for table in Row.metadata.sorted_tables:
            if table.name in NOT_COPIED:
                continue
            if table.name == VersionRow.__tablename__:
                insert_all(write, table, _parents_first(read.execute(select(table)).mappings().all()))
                continue
            # Numbers that a database gives out itself are given anew, in the same order.
            columns = [c for c in table.c if not (table.name == QuarantineRow.__tablename__ and c.primary_key)]
            statement = select(*columns).order_by(*table.primary_key)
            for rows in read.execute(statement, execution_options={"yield_per": ROWS}).mappings().partitions():
                insert_all(write, table, rows)


def is_empty(database: Database) -> bool:
    """Whether a ledger holds no row at all."""
    with database.reading() as connection:
        return all(connection.execute(select(table).limit(1)).first() is None for table in Row.metadata.sorted_tables)


def insert_all(connection: Connection, table: Any, rows: Any) -> None:
    """Insert rows of an empty table."""
    if rows:
        insert(connection, table, rows, "DO NOTHING")


def _parents_first(versions: Any) -> list[Mapping[str, Any]]:
    """A version refers to its parent, which must be there before it."""
    waiting = {row["id"]: row for row in versions}
    ordered: list[Mapping[str, Any]] = []
    while waiting:
        ready = [row for row in waiting.values() if row["parent"] not in waiting]
        ordered += ready
        for row in ready:
            del waiting[row["id"]]
    return ordered
