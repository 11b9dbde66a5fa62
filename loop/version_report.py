"""`deltaloop evaluate`: one version on suites or on a harness's tasks, outside of any round.

NAME or MODEL + options -> Target (version, settings) -> evaluate_target -> reports -> report_json, report_table

A version that was evaluated so already is not asked again: the ledger has its report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from loop.config import CampaignSettings, override, parse_settings
from loop.evaluation import evaluate_suites
from loop.export_student import lineage_of
from loop.paths import EMBEDDED_MODELS
from loop.ports import WHOLE, Blobs, Evaluator, Ledger, Progress
from loop.status import DASH, find_campaign, number, share, table_of
from store.errors import UsageError
from store.records import SuiteReport, Version

NO_CAMPAIGN = "evaluation"
"""The name under which settings without a campaign go."""


@dataclass(frozen=True)
class Wanted:
    """What to evaluate on, where it differs from what the settings say."""

    harness: str | None = None
    tasks: tuple[str, ...] = ()
    task_files: Path | None = None
    questions: int | None = None
    """Per suite or task, at most; None is all."""
    overrides: tuple[str, ...] = ()
    """`section.key=value`, as for a campaign file."""


@dataclass(frozen=True)
class Target:
    """What is evaluated, and how."""

    settings: CampaignSettings
    version: Version | None
    """None: the student of the settings."""
    campaign: str | None


def find_target(ledger: Ledger, blobs: Blobs, name: str, round: int | None, wanted: Wanted) -> Target:
    """A campaign's promoted student, or its candidate of a round, under its newest settings; or a model under defaults.

    UsageError, or DeltaloopError, if there is neither.
    """
    if any(row.name == name for row in ledger.campaigns()):
        rounds = ledger.rounds(name)
        version = lineage_of(ledger, blobs, name, round).version
        settings = CampaignSettings.model_validate_json(rounds[-1].settings)
        return Target(_changed(settings, wanted), version, name)
    is_model = name in EMBEDDED_MODELS or Path(name).is_dir() or "/" in name
    if not is_model:
        find_campaign(ledger, name)  # says which campaigns there are
    if round is not None:
        raise UsageError(f"--round {round}: {name!r} is a model, and only campaigns have rounds; leave it out")
    source = str(Path(name).resolve()) if Path(name).is_dir() else name
    settings = parse_settings({"name": NO_CAMPAIGN, "models": {"student": source, "teacher": source}}, where=name)
    return Target(_changed(settings, wanted), None, None)


def _changed(settings: CampaignSettings, wanted: Wanted) -> CampaignSettings:
    if wanted.tasks and wanted.harness is None:
        raise UsageError(f"--tasks {','.join(wanted.tasks)}: tasks are a harness's: add --harness lmms-eval")
    if wanted.harness is not None and not wanted.tasks:
        raise UsageError(f"--harness {wanted.harness}: name its tasks with --tasks NAME,NAME")
    data = settings.model_dump(mode="json")
    evaluation: dict[str, Any] = data["evaluation"]
    if wanted.harness is not None:
        evaluation |= {"harness": wanted.harness, "tasks": list(wanted.tasks), "main": [], "beside": []}
    if wanted.task_files is not None:
        if not wanted.task_files.is_dir():
            raise UsageError(f"--task-files {wanted.task_files}: there is no such folder; correct the path")
        evaluation["task_files"] = str(wanted.task_files.resolve())
    if wanted.questions is not None:
        evaluation["questions"] = wanted.questions
    for text in wanted.overrides:
        override(data, text)
    return parse_settings(data, where="evaluate")


def evaluate_target(
    target: Target, version: Version, evaluator: Evaluator, ledger: Ledger, progress: Progress, *, whole: bool
) -> tuple[SuiteReport, ...]:
    """The version's reports on what the settings name; `whole` leaves out no question."""
    ledger.add_version(version)
    return evaluate_suites(version, evaluator.suites(whole=whole), target.settings, evaluator, ledger, progress)


def report_json(version: Version, campaign: str | None, reports: Sequence[SuiteReport]) -> dict[str, Any]:
    """The object that `evaluate --json` prints; see docs/evaluation.md."""
    return {
        "version": version.id,
        "source": version.source,
        "campaign": campaign,
        "round": version.round,
        "suites": [_suite_json(report) for report in reports],
    }


def _suite_json(report: SuiteReport) -> dict[str, Any]:
    harness = report.harness
    scores = harness.scores if harness else ()
    return {
        "suite": report.suite.removesuffix(WHOLE),
        "whole": report.suite.endswith(WHOLE),
        "metric": report.metric,
        "score": report.accuracy,
        "stderr": stderr_of(report),
        "questions": len(report.values) if report.values else None,
        "harness": {"name": harness.harness, "version": harness.harness_version} if harness else None,
        "scores": [{"metric": row.metric, "value": row.value, "stderr": row.stderr} for row in scores],
    }


def report_table(reports: Sequence[SuiteReport]) -> Table:
    """A row per suite, and one per metric of a harness's task."""
    table = table_of("evaluation")
    for heading in ("suite", "metric", "score", "± stderr", "questions"):
        table.add_column(heading, justify="left" if heading in ("suite", "metric") else "right")
    for report in reports:
        questions = str(len(report.values)) if report.values else DASH
        name = report.suite.removesuffix(WHOLE)
        if report.harness is None:
            table.add_row(name, report.metric, share(report.accuracy), share(stderr_of(report)), questions)
        for score in report.harness.scores if report.harness else ():
            table.add_row(name, score.metric, number(score.value), number(score.stderr), questions)
    return table


def stderr_of(report: SuiteReport) -> float | None:
    """Of the mean score: the harness's own, or the standard deviation of the questions over the root of their number.

    None where neither is known.
    """
    for score in report.harness.scores if report.harness else ():
        if score.metric == report.metric:
            return score.stderr
    if report.harness is not None or len(report.values) < 2:
        return None
    return float(np.std(report.values, ddof=1)) / math.sqrt(len(report.values))
