"""Versions of the two models, and how they did on the held-out suites."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select
from sqlmodel import col

from store.database import Database, add, columns, now, require
from store.errors import Missing
from store.records import HarnessResult, HarnessScore, SuiteReport, Version
from store.tables import EvaluationRow, HarnessScoreRow, VersionRow

VERSION: Any = columns(VersionRow, Version)
OWN = ("suite", "metric", "prompt_ids", "values", "families")
REPORT: Any = [getattr(EvaluationRow, name) for name in OWN]
"""A report's columns without the harness's, which are rows of their own."""
SCORE: Any = columns(HarnessScoreRow, HarnessScore)


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
            key = {"version": version, "key": suite}
            new = add(connection, EvaluationRow, [_own(report) | key | {"created": now()}])
            if new and report.harness is not None:
                add(connection, HarnessScoreRow, _score_rows(key, report.harness))

    def find_evaluation(self, version: str, suite: str) -> SuiteReport | None:
        """The report recorded under these two, or None."""
        key = (col(EvaluationRow.version) == version, col(EvaluationRow.key) == suite)
        with self._database.reading() as connection:
            row = connection.execute(select(*REPORT).where(*key)).one_or_none()
            harness = _find_harness(connection, version, suite)
        return None if row is None else replace(SuiteReport(*row), harness=harness)


def _own(report: SuiteReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in OWN}


def _score_rows(key: dict[str, str], result: HarnessResult) -> list[dict[str, Any]]:
    whole = key | {name: getattr(result, name) for name in ("harness", "harness_version", "samples")}
    return [whole | vars(score) | {"position": position} for position, score in enumerate(result.scores)]


def _find_harness(connection: Connection, version: str, key: str) -> HarnessResult | None:
    row = HarnessScoreRow
    wanted = select(*SCORE, col(row.harness), col(row.harness_version), col(row.samples))
    found = connection.execute(
        wanted.where(col(row.version) == version, col(row.key) == key).order_by(col(row.position))
    ).all()
    if not found:
        return None
    *_, harness, harness_version, samples = found[0]
    return HarnessResult(
        harness, harness_version, tuple(HarnessScore(*entry[: len(SCORE)]) for entry in found), samples
    )
