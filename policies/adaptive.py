"""How many more student samples each pool prompt gets, wave by wave, until the choice of the training set is sure.

    wave 0: the floor    what is new, what has long not been sampled, a random part of the rest: `first` samples each
    wave 1, 2, ...       evidence -> posterior of Δ -> cut of the training set -> some more samples of prompts near it
    no samples: stop     the choice is sure enough, or the budget is spent
    reports              of a random part of the chosen prompts and of the pool: samples that selected nothing

Each wave is a function of the evidence before it and of a generator. A stage that records a wave's plan before it
draws, seeds the generator by the wave's number, and shows the policy nothing but finished waves, replays equally.

The split. Of a prompt's student samples, the indices 0 ... `most` - 1 may select and those from `most` on report; the
teacher's are split at the number that it is sampled with. `Evidence` holds selecting samples, and `Evidence.last` comes
of nothing else, since the teacher's reporting samples are kept for ever: reporting samples select in no round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.beliefs import Belief, Evidence, posterior

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """What a stage may spend, and on what."""

    budget: float
    """For selecting and reporting samples together, in the unit of `Evidence.cost`: samples, or tokens."""
    train_size: int
    """Number of prompts that will be chosen."""
    smoothing: float = 0.05
    first: int = 1
    """Samples of each prompt on the floor."""
    most: int = 16
    """Selecting samples of one prompt, at most; reporting samples have the indices from here on."""
    revisit: int = 4
    """Every prompt is sampled in at least one of so many rounds in a row, if the budget pays for the floor."""
    pace: float = 0.25
    """Share of what is left that a wave spends."""
    tolerance: float = 0.002
    """Stop where knowing every Δ would improve the chosen ones' sum by less than this share."""
    drop: float = 0.01
    """A prompt is dropped once its Δ is above the cut with a smaller probability than this."""
    least: float = 0.1
    """Smaller Δ, in nats, are not looked for; a choice that may lose a twentieth of it per prompt is good enough."""
    reported_chosen: float = 0.25
    """Share of the chosen prompts, drawn at random, that will be reported on."""
    reported_pool: float = 0.01
    """Share of the pool, drawn at random, that will be reported on."""
    reserve: float = 0.25
    """Share of the budget that is kept for reports, at most."""


@dataclass(frozen=True)
class Reports:
    """Prompts that get reporting samples on both sides; a prompt may be in both, and gets them once."""

    chosen: Counts
    """Of the training set."""
    pool: Counts


def plan_wave(evidence: Evidence, settings: Settings, rng: np.random.Generator) -> Counts:
    """[n] additional selecting samples of the current student; all zero: the stage is done.

    Their cost is within what the budget leaves after the samples so far and the reserve for reports. Prompts are served
    by gain / √(drawn + 1) per cost: what knowing Δ would be worth, and how much of that a sample brings (a posterior's
    loss falls about with the root of the samples). Each gets half as many again as it has.
    """
    drawn = evidence.student.sum(axis=1)
    if not len(drawn) or settings.budget - evidence.spent < evidence.cost.min():
        return np.zeros_like(drawn)
    if not drawn.any():
        floor = _floor(evidence, settings, settings.budget - _reserve(evidence, settings), rng)
        if floor.any():
            return floor

    belief = posterior(evidence, settings.smoothing)
    left = settings.budget - evidence.spent - _reserve(evidence, settings, belief)
    if left < evidence.cost.min():
        return np.zeros_like(drawn)
    cut, total = _cut(belief, evidence.eligible, settings.train_size)
    cut = max(cut, settings.least)
    gain = np.where(_open(belief, evidence, cut, settings), belief.gain(cut), 0.0)
    if gain.sum() <= max(settings.tolerance * total, settings.least / 20 * settings.train_size):
        return np.zeros_like(drawn)
    steps = np.minimum(np.maximum(drawn // 2, 1), settings.most - drawn)
    worth = gain / np.sqrt(drawn + 1) / evidence.cost
    wave = max(settings.pace * left, 0.02 * settings.budget)
    return _afford(_ranked(-worth, gain > 0, rng), steps, evidence.cost, min(wave, left))


def plan_reports(
    chosen: Counts,
    pool: Counts,
    cost: Floats,
    rng: np.random.Generator,
    *,
    reported_chosen: float,
    reported_pool: float,
    left: float = np.inf,
) -> Reports:
    """Who gets reporting samples: random parts of the chosen prompts and of the pool, both given as positions.

    `cost` [n] is that of a prompt's reporting samples, both sides together; where `left` does not pay for all, a random
    part of them goes without, so that what is reported stays a fair draw of both.
    """
    told = rng.permutation(chosen)[: int(np.ceil(reported_chosen * len(chosen)))]
    pool = rng.permutation(pool)[: int(np.ceil(reported_pool * len(pool)))]
    order = rng.permutation(np.union1d(told, pool).astype(np.int64))
    paid = order[np.cumsum(cost[order]) <= left + 1e-9]
    return Reports(np.sort(told[np.isin(told, paid)]), np.sort(pool[np.isin(pool, paid)]))


def _cut(belief: Belief, eligible: NDArray[np.bool_], size: int) -> tuple[float, float]:
    """The Δ between the last prompt that would be chosen now and the first that would not; the chosen ones' sum."""
    means = np.sort(belief.mean[eligible])[::-1]
    if len(means) <= size:
        return 0.0, float(means.sum())
    return float(means[max(size - 1, 0) : size + 1].mean()), float(means[:size].sum())


def _open(belief: Belief, evidence: Evidence, cut: float, settings: Settings) -> NDArray[np.bool_]:
    """[n] whom more samples could move into the training set, or out of it."""
    possible = (belief.weight * (belief.delta > cut)).sum(axis=1) >= settings.drop
    free = evidence.student.sum(axis=1) < settings.most
    return evidence.eligible & evidence.teacher.any(axis=1) & possible & free


def _floor(evidence: Evidence, settings: Settings, left: float, rng: np.random.Generator) -> Counts:
    """[n] samples of the prompts whose turn it is, the longest idle first.

    The turn of a prompt comes with probability 1 / (revisit - idle + 1): surely in time, and as many each round.
    """
    turn = rng.random(len(evidence.idle)) < 1 / np.maximum(settings.revisit - evidence.idle + 1, 1)
    order = _ranked(-evidence.idle.astype(np.float64), turn & evidence.teacher.any(axis=1), rng)
    steps = np.full(len(turn), min(settings.first, settings.most))
    return _afford(order, steps, evidence.cost, left)


def _reserve(evidence: Evidence, settings: Settings, belief: Belief | None = None) -> float:
    """What reports are expected to cost: of the prompts that would be chosen now, or of any as many."""
    num, likely = len(evidence.cost), evidence.report_cost
    if belief is not None:
        best = np.argsort(np.where(evidence.eligible, -belief.mean, np.inf), kind="stable")[: settings.train_size]
        likely = likely[best] if len(best) else likely
    expected = settings.reported_pool * num * evidence.report_cost.mean()
    expected += settings.reported_chosen * min(num, settings.train_size) * likely.mean()
    return float(min(expected, settings.reserve * settings.budget))


def _afford(order: Counts, steps: Counts, cost: Floats, left: float) -> Counts:
    """[n] the steps of the first prompts in `order`, as far as `left` pays for them."""
    plan = np.zeros(len(steps), dtype=np.int64)
    paid = order[np.cumsum(steps[order] * cost[order]) <= left + 1e-9]
    plan[paid] = steps[paid]
    return plan


def _ranked(keys: Floats, among: NDArray[np.bool_], rng: np.random.Generator) -> Counts:
    """Positions where `among` holds, by ascending key, equal keys in random order."""
    shuffled = rng.permutation(np.flatnonzero(among))
    return shuffled[np.argsort(keys[shuffled], kind="stable")]
