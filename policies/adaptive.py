"""How many more student samples each pool prompt gets, wave by wave, until the choice of the training set is sure.

    wave 0: the floor    what is new, what has long not been sampled, a random part of the rest: `first` samples each
    wave 1, 2, ...       evidence -> posterior of Δ -> cut of the training set -> some more samples of prompts near it
    no samples: stop     the choice is sure enough, or the budget is spent
    reports              of the chosen prompts and of a random part of the pool: samples that selected nothing

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
    audit: float = 0.02
    """Share of the pool, drawn at random, that is reported on for the pool's mean Δ."""


@dataclass(frozen=True)
class Reports:
    """Prompts that get reporting samples on both sides; a prompt may be in both, and gets them once."""

    chosen: Counts
    """Of the training set: all, or a random part where the budget is short."""
    audit: Counts
    """Of the pool, at random."""


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


def plan_reports(chosen: Counts, evidence: Evidence, settings: Settings, rng: np.random.Generator) -> Reports:
    """Who gets reporting samples, given the chosen prompts' positions: within what the budget has left.

    The audited prompts come first, then the chosen ones in random order, as long as `Evidence.report_cost` can be paid.
    """
    usable = np.flatnonzero(evidence.teacher.any(axis=1))
    audit = rng.permutation(usable)[: int(np.ceil(settings.audit * len(evidence.cost)))]
    chosen = rng.permutation(chosen)
    order = np.concatenate([audit, chosen[~np.isin(chosen, audit)]]).astype(np.int64)
    paid = np.cumsum(evidence.report_cost[order]) <= settings.budget - evidence.spent + 1e-9
    told = order[paid]
    return Reports(np.sort(chosen[np.isin(chosen, told)]), np.sort(audit[np.isin(audit, told)]))


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
    """What reports are expected to cost: for the prompts that would be chosen now, or for any as many."""
    num = len(evidence.cost)
    audit = evidence.report_cost.mean() * min(num, int(np.ceil(settings.audit * num)))
    likely = evidence.report_cost
    if belief is not None:
        likely = likely[np.argsort(np.where(evidence.eligible, -belief.mean, np.inf), kind="stable")]
    chosen = likely[: settings.train_size].mean() if belief is not None and settings.train_size else likely.mean()
    return float(audit + chosen * min(num, settings.train_size))


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
