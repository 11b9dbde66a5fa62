"""Simulated pools with known answer distributions: what the scoring benchmarks measure estimates and policies against.

    make_pool(shape, num, rng) -> SimulatedPool -> draw(pool.student, n, rng): class codes, as rollouts would give them
                                      |
                                  next_round(pool, rng): the student has moved, the teacher has not

A pool has regions of the embedding space; a region has a rate of delta prompts and a typical size of the difference,
so that a prompt's neighbours tell something about it, as they do in real pools. On 60 to 80 % of the prompts (by shape)
the student's distribution *is* the teacher's, exactly; on the others the total variation runs from about 0.02 to 1. A
student differs by favouring other answers (two of three prompts) or by being more or less sure of the same ones.

| shape     | the teacher's answers                                                              | zero-delta |
|-----------|------------------------------------------------------------------------------------|------------|
| confident | one answer on half of the prompts, nearly so (0.95 to 0.999) on the rest           | 0.78       |
| peaked    | a top answer of 0.5 to 0.95, a few others                                          | 0.7        |
| flat      | nearly flat over 3 to 12 answers                                                   | 0.6        |
| long_tail | a top answer of 0.1 to 0.7, the rest over some 190 answers that rarely come twice  | 0.7        |
| mixed     | each prompt from one of the four                                                   | 0.7        |
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]

SHAPES: tuple[str, ...] = ("confident", "peaked", "flat", "long_tail", "mixed")

SMOOTHING = 0.05
"""Of every Δ that the benchmarks measure."""

_ZERO_SHARES = {"confident": 0.78, "peaked": 0.7, "flat": 0.6, "long_tail": 0.7, "mixed": 0.7}
_NUM_CLASSES = {"confident": 12, "peaked": 12, "flat": 16, "long_tail": 192, "mixed": 192}
_NUM_REGIONS = 40
_DIMENSIONS = 32
_SPREAD = 0.6
"""Norm of the noise around a region's centre, whose norm is 1: regions overlap a little."""
_SMALLEST = 0.02
"""Smallest total variation of a delta prompt at birth."""
_LEARNT, _CLOSER, _ANEW, _FORGOTTEN = 0.18, 0.2, 0.25, 0.06
"""Of a round's delta prompts the shares that are learnt, that come closer, and of the rest that differ anew; of the
zero-delta prompts the share that is forgotten."""
_RATE_SPREAD = 0.3
"""Mean of the rates by region that forgetting is drawn from: most regions forget little, some much."""


@dataclass(frozen=True)
class SimulatedPool:
    """True answer distributions of a pool; prompt i has row i everywhere. Rows of the first two sum to one."""

    shape: str
    student: Shares
    """[num, classes]"""
    teacher: Shares
    """[num, classes]"""
    embeddings: NDArray[np.float32]
    """[num, d], unit norm"""
    regions: NDArray[np.int64]
    """[num] the region that each prompt was drawn from; policies do not see it"""

    @property
    def zero(self) -> NDArray[np.bool_]:
        """[num] whether both distributions are the same."""
        return np.all(self.student == self.teacher, axis=1)

    @property
    def total_variation(self) -> Shares:
        """[num] half the absolute differences, in [0, 1]."""
        total: Shares = np.abs(self.student - self.teacher).sum(axis=1) / 2
        return total


def make_pool(shape: str, num: int, rng: np.random.Generator) -> SimulatedPool:
    """A pool of `num` prompts of one of `SHAPES`."""
    teacher = _teacher(shape, num, rng)
    regions = rng.integers(_NUM_REGIONS, size=num)
    embeddings = _embeddings(regions, rng)
    rates = _rates(1 - _ZERO_SHARES[shape], rng)
    differs = rng.random(num) < rates[regions]
    sizes = _sizes(regions[differs], rng)
    student = teacher.copy()
    student[differs] = _moved(teacher[differs], sizes, rng)
    return SimulatedPool(shape, student, teacher, embeddings, regions)


def null_pool(shape: str, num: int, rng: np.random.Generator) -> SimulatedPool:
    """A pool on which both sides are the same everywhere."""
    pool = make_pool(shape, num, rng)
    return replace(pool, student=pool.teacher)


def next_round(pool: SimulatedPool, rng: np.random.Generator) -> SimulatedPool:
    """The pool for the student after a round of training; the teacher, and with it `teacher`, stays.

    Of the delta prompts, some are learnt (p = q exactly; how many, the region sets), some come closer by any share,
    some differ anew, and most stay; some zero-delta prompts are forgotten. The rates make the embedded pair's moves
    over three rounds, which `scripts.bench_scoring` prints beside these.
    """
    zero, ease = pool.zero, (rng.beta(2, 3, size=_NUM_REGIONS) / 0.4)[pool.regions]
    fate = rng.random(len(zero))
    learnt = ~zero & (fate < _LEARNT * ease)
    closer = ~zero & ~learnt & (fate > 1 - _CLOSER)
    forgetting = np.minimum(_rates(_RATE_SPREAD, rng) / _RATE_SPREAD * _FORGOTTEN, 1.0)[pool.regions]
    anew = ~learnt & ~closer & (rng.random(len(zero)) < np.where(zero, forgetting, _ANEW))
    steps = np.where(learnt, 1.0, np.where(closer, rng.random(len(zero)), 0.0))
    student = _normalised(pool.student + steps[:, None] * (pool.teacher - pool.student))
    same = (zero | learnt) & ~anew
    student[same] = pool.teacher[same]
    student[anew] = _moved(pool.teacher[anew], _sizes(pool.regions[anew], rng), rng)
    return replace(pool, student=student)


def draw(shares: Shares, num: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Class codes [rows, num] of `num` samples from each row of `shares` [rows, classes]."""
    rows, classes = shares.shape
    starts = np.arange(rows)[:, None]
    steps = np.minimum(np.cumsum(shares, axis=1), 1.0)
    steps[:, -1] = 1.0
    codes = np.searchsorted((steps + starts).ravel(), rng.random((rows, num)) + starts, side="right")
    return np.minimum(codes - starts * classes, classes - 1).astype(np.int16)


def _teacher(shape: str, num: int, rng: np.random.Generator) -> Shares:
    if shape not in SHAPES:
        raise ValueError(f"no shape is called {shape!r}; take one of {', '.join(SHAPES)}")
    classes = _NUM_CLASSES[shape]
    if shape == "mixed":
        kinds = rng.integers(4, size=num)
        teacher = np.zeros((num, classes))
        for kind, part in enumerate(SHAPES[:4]):
            rows = _teacher(part, int((kinds == kind).sum()), rng)
            teacher[kinds == kind, : rows.shape[1]] = rows
        return teacher
    if shape == "flat":
        sides = rng.integers(3, 13, size=num)
        weights = rng.gamma(5, size=(num, classes)) * (np.arange(classes) < sides[:, None])
        return _normalised(weights)
    if shape == "confident":
        top = np.where(rng.random(num) < 0.5, 1.0, rng.uniform(0.95, 0.999, size=num))
        return _topped(top, rng.gamma(0.3, size=(num, classes - 1)))
    if shape == "peaked":
        return _topped(rng.uniform(0.5, 0.95, size=num), rng.gamma(0.3, size=(num, classes - 1)))
    return _topped(rng.uniform(0.1, 0.7, size=num), rng.gamma(2, size=(num, classes - 1)))


def _moved(teacher: Shares, sizes: Shares, rng: np.random.Generator) -> Shares:
    """A student at about total variation `sizes` [rows] from each row of the teacher [rows, classes]."""
    rows, classes = teacher.shape
    seen = np.maximum((teacher > 0).sum(axis=1, keepdims=True), 2)
    favourites = rng.random((rows, classes)).argsort(axis=1)
    wrong = rng.gamma(np.where(favourites < 1, 3.0, 0.5 / seen) + 1e-3)
    # Half of those that favour other answers turn away from all that the teacher says: total variation up to 1.
    wrong *= np.where((rng.random((rows, 1)) < 0.5) & (teacher < 1), teacher < 1 / classes, 1.0) + 1e-12
    surer = teacher ** np.where(
        rng.random((rows, 1)) < 0.5, rng.uniform(2, 8, (rows, 1)), rng.uniform(0, 0.5, (rows, 1))
    )
    surer = np.where(teacher > 0, surer, 0.0)
    # A teacher of one answer has no other degree of being sure.
    towards = _normalised(np.where((rng.random((rows, 1)) < 1 / 3) & (seen > 2), surer, wrong))
    furthest = np.abs(towards - teacher).sum(axis=1) / 2
    steps = np.minimum(1.0, sizes / np.maximum(furthest, 1e-9))[:, None]
    return _normalised((1 - steps) * teacher + steps * towards)


def _rates(mean: float, rng: np.random.Generator) -> Shares:
    """[regions] share of delta prompts; most regions have few and some have many."""
    rates = rng.beta(0.7, 0.7 * (1 - mean) / mean, size=_NUM_REGIONS)
    for _ in range(20):  # clipped, then scaled to the mean again
        rates = np.clip(rates * mean / rates.mean(), 0.02, 0.98)
    return rates


def _sizes(regions: NDArray[np.int64], rng: np.random.Generator) -> Shares:
    """Total variations of delta prompts, about their region's own."""
    means = rng.uniform(0.1, 0.85, size=_NUM_REGIONS)[regions]
    return np.maximum(_SMALLEST, rng.beta(3 * means, 3 * (1 - means)))


def _embeddings(regions: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    centres = rng.normal(size=(_NUM_REGIONS, _DIMENSIONS))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    points = centres[regions] + rng.normal(scale=_SPREAD / _DIMENSIONS**0.5, size=(len(regions), _DIMENSIONS))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def _topped(top: Shares, weights: Shares) -> Shares:
    """A first class of share `top` [rows]; the rest by `weights` [rows, classes - 1]."""
    return _normalised(np.column_stack([top, _normalised(weights) * (1 - top)[:, None]]))


def _normalised(weights: Shares) -> Shares:
    totals = weights.sum(axis=1, keepdims=True)
    shares: Shares = weights / totals
    return shares
