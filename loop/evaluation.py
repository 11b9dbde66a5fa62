"""The evaluate stage: one version on the held-out suites. A version is evaluated once on a suite, whoever asks."""

from __future__ import annotations

from loop.ports import Ports
from loop.work import Work
from store.records import Report, Version, digest_of


def evaluate(work: Work, version: Version, ports: Ports) -> Report:
    """Score a version on each suite's fixed questions."""
    return _evaluate(work, version, ports, whole=False)


def evaluate_whole(work: Work, version: Version, ports: Ports) -> Report:
    """Score a version on whole suites, where a round takes a subsample."""
    return _evaluate(work, version, ports, whole=True)


def _evaluate(work: Work, version: Version, ports: Ports, *, whole: bool) -> Report:
    settings = work.settings
    conditions = digest_of(
        {
            "evaluation": settings.evaluation.model_dump(mode="json"),
            "sampling": settings.sampling.model_dump(mode="json"),
        }
    )
    reports = []
    for suite in ports.evaluator.suites(whole=whole):
        key = f"{suite}@{conditions[:16]}"
        report = ports.ledger.find_evaluation(version.id, key)
        if report is None:
            report = ports.evaluator.evaluate(version, suite, ports.progress)
            ports.ledger.add_evaluation(version.id, key, report)
        reports.append(report)
    return Report(version.id, tuple(reports), settings.evaluation.main)
