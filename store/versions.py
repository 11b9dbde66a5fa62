"""Versions of the two models, and how they did on the held-out suites."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlmodel import col

from store.database import Database, add, columns, now, require
from store.errors import Missing
from store.records import SuiteReport, Version
from store.tables import EvaluationRow, VersionRow

VERSION: Any = columns(VersionRow, Version)
REPORT: Any = columns(EvaluationRow, SuiteReport)


class Versions:
    """The part of the ledger that keeps models and their results."""

    _database: Database

    def add_version(self, version: Version) -> None:
        """Record a version; one that is there already is kept. Missing (a KeyError) if its parent is not there."""
        with self._database.writing() as connection:
            if version.parent is not None:
                require(connection, col(VersionRow.id), [version.parent], "version")
            add(connection, VersionRow, [vars(version) | {"created": now()}])

    def version(self, id: str) -> Version:
        """A version by its id. Missing (a KeyError) if there is none."""
        with self._database.reading() as connection:
            row = connection.execute(select(*VERSION).where(col(VersionRow.id) == id)).one_or_none()
        if row is None:
            raise Missing(f"the ledger holds no version {id!r}; `deltaloop status` shows the versions of a campaign")
        return Version(*row)

    def add_evaluation(self, version: str, suite: str, report: SuiteReport) -> None:
        """Record a version's report under `suite`, which may name its conditions too; the first one is kept."""
        with self._database.writing() as connection:
            require(connection, col(VersionRow.id), [version], "version")
            add(connection, EvaluationRow, [vars(report) | {"version": version, "key": suite, "created": now()}])

    def find_evaluation(self, version: str, suite: str) -> SuiteReport | None:
        """The report recorded under these two, or None."""
        key = (col(EvaluationRow.version) == version, col(EvaluationRow.key) == suite)
        with self._database.reading() as connection:
            row = connection.execute(select(*REPORT).where(*key)).one_or_none()
        return None if row is None else SuiteReport(*row)
