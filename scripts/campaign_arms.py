"""Arms of a comparison: campaigns that differ in a setting, run in one home, and the paired difference between them.

settings -> run_arm -> Outcome (answers of the kept student, spend of each round) -> paired_difference
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loop.bootstrap import make_ports, open_home
from loop.campaign import run_campaign
from loop.config import CampaignSettings
from loop.evaluation import evaluate
from loop.ports import Ports
from loop.progress import LineProgress
from loop.stages import recorded
from loop.summary import PAID
from loop.work import Work
from store.records import Admitted, Report, Scores, Spent, Trained, TrainingSet

LEVEL = 0.9
RESAMPLES = 4000


@dataclass(frozen=True)
class Outcome:
    """One arm of one seed: how its students answer, and what each round spent."""

    report: Report
    """The kept student's."""
    before: Report
    """Of the student that the campaign began with."""
    trained: Report
    """Of the last round's, promoted or not."""
    spent: tuple[Spent, ...]
    scoring: Spent
    """On the score stages, in all rounds together."""


def run_arm(settings: CampaignSettings, arm: str, home: Path) -> Outcome:
    """Run one arm as a campaign of its own, with a pool of its own."""
    settings = settings.model_copy(
        update={
            "name": arm,
            "pool": settings.pool.model_copy(update={"name": arm}),
            "tracking": settings.tracking.model_copy(update={"mlflow": False}),
        }
    )
    opened = open_home(home, None)
    ports, student, teacher = make_ports(opened, settings, LineProgress())
    try:
        kept = run_campaign(settings, ports, student, teacher)
        report = evaluate(Work(arm, settings.rounds, settings, teacher), kept, ports)
        rounds = [_spent(ports, arm, index) for index in range(1, settings.rounds + 1)]
        scoring = Spent.total(stages["score"] for stages in rounds if "score" in stages)
        before = _report(ports, arm, 0, "baseline_student")
        trained = _report(ports, arm, settings.rounds, "evaluate")
        return Outcome(report, before, trained, tuple(Spent.total(stages.values()) for stages in rounds), scoring)
    finally:
        opened.close()


def _report(ports: Ports, campaign: str, index: int, stage: str) -> Report:
    report = recorded(ports.ledger, ports.blobs, campaign, index, stage, Report)
    assert isinstance(report, Report), f"round {index} of {campaign} has no {stage}"
    return report


def _spent(ports: Ports, campaign: str, index: int) -> dict[str, Spent]:
    """By stage, of those that a round has finished."""
    kinds = (("score", Scores), ("synthesize", Admitted), ("select", TrainingSet), ("distill", Trained))
    parts = ((name, recorded(ports.ledger, ports.blobs, campaign, index, name, kind)) for name, kind in kinds)
    return {name: part.spent for name, part in parts if isinstance(part, PAID)}


def paired_difference(first: Sequence[Report], second: Sequence[Report]) -> tuple[float, float, float]:
    """Mean difference of the main suites' unweighted mean, with a bootstrap interval over seeds and questions.

    The reports of a seed are on the same questions.
    """
    pairs = [list(zip(_values(a), _values(b), strict=True)) for a, b in zip(first, second, strict=True)]
    gaps = [np.stack([a - b for a, b in suite]) for suite in zip(*pairs, strict=True)]  # [seeds, questions] each
    rng = np.random.default_rng(0)
    draws = np.zeros(RESAMPLES)
    for draw in range(RESAMPLES):
        seeds = rng.integers(len(first), size=len(first))
        draws[draw] = np.mean([gap[seeds][:, rng.integers(gap.shape[1], size=gap.shape[1])].mean() for gap in gaps])
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(np.mean([gap.mean() for gap in gaps])), float(low), float(high)


def _values(report: Report) -> list[NDArray[np.float64]]:
    """Score per question of each main suite."""
    return [np.array(suite.values) for suite in report.suites if suite.suite in report.mean_over]
