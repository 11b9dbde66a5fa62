"""Reporting samples: fresh draws of both models that tell what a choice is worth, and chose nothing themselves.

    random parts of the chosen prompts and of the pool -> samples from index `REPORTING` on -> Reported, twice

A prompt that is chosen for its large Δ has, on average, a smaller one: the samples that chose it were lucky. Later
samples know nothing of that. They are drawn once per prompt and version, count toward what the stage spends, and are
never read by a policy, in no round.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loop.adaptive_scoring import left_of_budget
from loop.ports import Ports
from loop.rollouts import REPORTING, classes_of, sample_side
from loop.work import Work
from policies.adaptive import plan_reports
from policies.divergence import reported
from store.records import Reported, Scores, Spent, Version


def report(
    work: Work, scores: Scores, ids: Sequence[str], picked: NDArray[np.int64], ports: Ports
) -> tuple[Reported | None, Reported | None, Spent]:
    """Δ of the training set (positions in `ids`) and of the pool, whose scored prompts come first in `ids`."""
    settings = work.settings.scoring
    if not settings.reporting_samples:
        return None, None, Spent()
    cost, left = left_of_budget(work, scores, ids, ports)
    plan = plan_reports(
        picked,
        np.arange(len(scores.scores)),
        2 * settings.reporting_samples * cost,
        np.random.default_rng(work.seed("report")),
        reported_chosen=settings.reported_chosen,
        reported_pool=settings.reported_pool,
        left=left,
    )
    student = ports.ledger.version(scores.student)
    of_choice, choice_spent = _measure(work, student, [ids[place] for place in plan.chosen], ports, "chosen")
    of_pool, pool_spent = _measure(work, student, [ids[place] for place in plan.pool], ports, "pool")
    return of_choice, of_pool, Spent.total([choice_spent, pool_spent])


def _measure(
    work: Work, student: Version, ids: Sequence[str], ports: Ports, part: str
) -> tuple[Reported | None, Spent]:
    if not ids:
        return None, Spent()
    settings = work.settings.scoring
    wanted = dict.fromkeys(ids, settings.reporting_samples)
    prompts, stage = ports.ledger.prompts(ids), f"report/{part}"
    taught = sample_side(work, work.teacher, wanted, prompts, ports, stage=stage, first=REPORTING)
    tried = sample_side(work, student, wanted, prompts, ports, stage=stage, first=REPORTING)
    found = reported(classes_of(tried, ids), classes_of(taught, ids), smoothing=settings.smoothing)
    return found, Spent(taught.samples, tried.samples, taught.tokens, tried.tokens)
