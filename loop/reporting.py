"""Reporting samples: fresh draws of both models that tell what a choice is worth, and chose nothing themselves.

    chosen prompts, or a random part of the pool -> samples from index `REPORTING` on -> Reported

A prompt that is chosen for its large Δ has, on average, a smaller one: the samples that chose it were lucky. Later
samples know nothing of that. They are drawn once per prompt and version, count toward what the stage spends, and are
never read by a policy, in no round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from loop.ports import Ports
from loop.rollouts import REPORTING, classes_of, sample_side
from loop.work import Work
from policies.divergence import reported
from store.records import Reported, Scores, Spent, Version


def report_choice(work: Work, student: Version, chosen: Sequence[str], ports: Ports) -> tuple[Reported | None, Spent]:
    """Δ of the training set."""
    return _report(work, student, chosen, ports, "chosen")


def report_pool(work: Work, student: Version, scores: Scores, ports: Ports) -> tuple[Reported | None, Spent]:
    """Δ of a random part of the pool."""
    ids = [score.prompt_id for score in scores.scores]
    num = math.ceil(work.settings.scoring.reported_share * len(ids))
    rng = np.random.default_rng(work.seed("report", "pool"))
    return _report(work, student, sorted(rng.permutation(ids)[:num].tolist()), ports, "pool")


def _report(work: Work, student: Version, ids: Sequence[str], ports: Ports, part: str) -> tuple[Reported | None, Spent]:
    settings = work.settings.scoring
    wanted = dict.fromkeys(ids, settings.reporting_samples)
    if not ids or not settings.reporting_samples:
        return None, Spent()
    prompts, stage = ports.ledger.prompts(ids), f"report/{part}"
    taught = sample_side(work, work.teacher, wanted, prompts, ports, stage=stage, first=REPORTING)
    tried = sample_side(work, student, wanted, prompts, ports, stage=stage, first=REPORTING)
    found = reported(classes_of(tried, ids), classes_of(taught, ids), smoothing=settings.smoothing)
    return found, Spent(taught.samples, tried.samples, taught.tokens, tried.tokens)
