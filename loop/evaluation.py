"""The evaluate stage: one version on the held-out suites. A version is evaluated once on a suite, whoever asks."""

from __future__ import annotations

from loop.config import CampaignSettings
from loop.harness_place import installed_version
from loop.ports import WHOLE, Evaluator, Ledger, Ports, Progress
from loop.work import Work
from store.records import Report, SuiteReport, Version, digest_of

HARNESS_KEYS = {"harness", "tasks", "task_files", "response", "time_limit_s"}
TASK_KEYS = {"harness", "task_files", "response", "questions", "batch", "seed"}
"""What a task's result depends on; which of its results decide does not matter."""


def evaluate(work: Work, version: Version, ports: Ports) -> Report:
    """Score a version on each suite's fixed questions."""
    return _evaluate(work, version, ports, whole=False)


def evaluate_whole(work: Work, version: Version, ports: Ports) -> Report:
    """Score a version on whole suites, where a round takes a subsample."""
    return _evaluate(work, version, ports, whole=True)


def _evaluate(work: Work, version: Version, ports: Ports, *, whole: bool) -> Report:
    suites = ports.evaluator.suites(whole=whole)
    reports = evaluate_suites(version, suites, work.settings, ports.evaluator, ports.ledger, ports.progress)
    return Report(version.id, reports, work.settings.evaluation.main)


def evaluate_suites(
    version: Version,
    suites: tuple[str, ...],
    settings: CampaignSettings,
    evaluator: Evaluator,
    ledger: Ledger,
    progress: Progress,
) -> tuple[SuiteReport, ...]:
    """The version's reports on the suites, in their order; each is committed as it is made."""
    reports = []
    for suite in suites:
        key = f"{suite}@{_conditions(suite, settings)[:16]}"
        report = ledger.find_evaluation(version.id, key)
        if report is None:
            report = evaluator.evaluate(version, suite, progress)
            ledger.add_evaluation(version.id, key, report)
        reports.append(report)
    return tuple(reports)


def _conditions(suite: str, settings: CampaignSettings) -> str:
    """The digest of what a result depends on beside the version and the suite."""
    evaluation, sampling = settings.evaluation, settings.sampling.model_dump(mode="json")
    if suite.removesuffix(WHOLE) in evaluation.tasks:
        keys = TASK_KEYS - ({"questions"} if suite.endswith(WHOLE) else set())
        told = evaluation.model_dump(mode="json", include=keys) | {"version": installed_version()}
        return digest_of({"evaluation": told, "sampling": sampling})
    return digest_of(
        {"evaluation": evaluation.own().model_dump(mode="json", exclude=HARNESS_KEYS), "sampling": sampling}
    )
