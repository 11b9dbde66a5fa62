"""Evaluations that belong to no round, in MLflow: a run per version, under the run of its campaign if it has one.

report -> accuracy/NAME and, of a harness, harness/NAME/METRIC with METRIC_stderr, at step = the version's round
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from loop.adapters.mlflow_book import MlflowBook, Point
from loop.ports import Ledger
from loop.summary import harness_numbers, metric_name
from store.records import SuiteReport, Version

log = logging.getLogger(__name__)


def note_evaluation(
    home: Path, ledger: Ledger, version: Version, reports: Sequence[SuiteReport], campaign: str | None
) -> None:
    """Write what is not there yet. What fails warns: the ledger has it."""
    try:
        _note(MlflowBook(home), ledger, version, reports, campaign)
    except Exception as error:
        log.warning(
            "MLflow (%s) does not show this evaluation: %s: %s; the ledger has it",
            home / "mlflow.db",
            type(error).__name__,
            str(error).partition("\n")[0],
        )


def _note(
    book: MlflowBook, ledger: Ledger, version: Version, reports: Sequence[SuiteReport], campaign: str | None
) -> None:
    row = ledger.find_campaign(campaign) if campaign is not None else None
    parent = book.campaign_run(row.name, row.created) if row is not None else None
    run = book.version_run(version.id, parent)
    for report in reports:
        numbers = {metric_name("accuracy", "student", report.suite): report.accuracy} | harness_numbers(
            [report], "student"
        )
        book.points(run, [Point(name, value, version.round or 0) for name, value in numbers.items()])
    book.end(run, "FINISHED")
