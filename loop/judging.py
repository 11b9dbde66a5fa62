"""The judge stage: promote the candidate or keep the student; continue or stop."""

from __future__ import annotations

import numpy as np

from loop.evaluation import evaluate
from loop.ports import Ports
from loop.stages import recorded
from loop.work import Work
from policies.promotion import paired_interval, promote
from policies.stopping import why_stop
from store.records import Report, Scores, Trained, Verdict, Version


def judge(work: Work, student: Version, scores: Scores, trained: Trained, report: Report, ports: Ports) -> Verdict:
    """Decide by a paired interval over the main suites' questions, not by a bare mean."""
    settings = work.settings.promotion
    candidate = trained.version
    gain, low, high = paired_interval(
        _main_values(report),
        _main_values(evaluate(work, student, ports)),
        level=settings.level,
        rng=np.random.default_rng(work.seed("judge")),
    )
    promoted = candidate.id != student.id and promote(gain, low, tolerance=settings.tolerance)
    earlier = [
        verdict.promoted
        for index in range(1, work.round)
        if (verdict := recorded(ports.ledger, ports.blobs, work.campaign, index, "judge", Verdict)) is not None
    ]
    delta_share = sum(not score.zero_delta for score in scores.scores) / max(1, len(scores.scores))
    reason = why_stop(
        [*earlier, promoted], delta_share, patience=settings.patience, min_delta_share=settings.min_delta_share
    )
    if not trained.prompts:
        reason = reason or "no prompt was eligible for training"
    return Verdict(promoted, candidate if promoted else student, gain, low, high, reason is not None, reason or "")


def _main_values(report: Report) -> list[np.ndarray]:
    return [np.array(suite.values) for suite in report.suites if suite.suite in report.mean_over]
