"""What a few student samples say of Δ, before any belief about the pool: likelihoods of hypotheses, tabulated.

    counts -> answers by rank -> hypotheses (q, p, Δ) of each teacher table -> likelihood [rows, kinds of p, bins of Δ]

A prompt's answers are named by their rank among the teacher's (its most frequent first), then `rest` (ranks beyond
`RANKS` together), then what the teacher has not said: the `tail`, and the student's most frequent such answer, the
`rival`. So few different tables occur that everything is computed once per table: 16 teacher samples make at most 231.

The teacher. Its distribution q is Dirichlet(Y_1 ... Y_K, θ), the last for the mass u of answers that m samples did not
show, θ = m u / (1 - u). u is what the pool says by leaving one out: of the tables with as many answers and as many
single ones, how often was the sample left out a new answer (Good 1953, without his assumption of one distribution).

The student. Either p = q, or one of `KINDS`: it has another answer that the teacher never gives, prefers another of the
teacher's, is surer or less sure, or any mixture. How common each is, the pool decides (`policies.beliefs`). The draws
are a quadrature rule, made from a fixed seed: no part of the campaign's randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

RANKS = 8
"""Teacher's answers told apart. Lumping the rarer ones lowers Δ a little (data processing), and only there."""

SAME, DIFFERENT = 256, 512
"""Hypotheses per teacher table with p = q, and of each kind of p ≠ q."""

KINDS = 4
"""Of p ≠ q: (1 - w) q + w · rival; (1 - v) q + v · (one of the teacher's answers); ∝ q^t; a mixture of all."""

BINS = 16
"""Bins of Δ: the first is p = q, the others divide [0, log(1 / smoothing)] evenly on the scale of √Δ."""

PSEUDO = np.array([0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0])

_TAIL, _RIVAL = RANKS + 1, RANKS + 2

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Likelihood:
    """Of r different (teacher table, student counts), per cell: p = q, then each kind of p ≠ q by bin of Δ."""

    weight: Floats
    """[r, cells] likelihood of the student's counts, up to a factor per row; cells = 1 + KINDS · (BINS - 1)."""
    delta: Floats
    """[r, cells] mean Δ in the cell, given the counts."""
    square: Floats
    """[r, cells] mean of Δ² in the cell."""
    row: NDArray[np.int64]
    """[n] the row of each prompt."""


def edges(smoothing: float) -> Floats:
    """[BINS] edges between the bins of p ≠ q, from 0 to log(1 / smoothing)."""
    borders: Floats = np.linspace(0.0, 1.0, BINS) ** 2 * -np.log(smoothing)
    return borders


def likelihood(student: Counts, teacher: Counts, smoothing: float) -> Likelihood:
    """Student and teacher counts [n, k] over the same classes, any k; either may be empty.

    A prompt without teacher samples says nothing: its student samples are left out.
    """
    tables, given = _by_rank(student, teacher)
    rows, which = _distinct(tables)
    times = np.bincount(which, minlength=len(rows))
    added = _added(rows, times)
    theta = _tail_strength(rows, times, added)
    pairs, pair_of = _distinct(np.column_stack([which, given]))
    cells = 1 + KINDS * (BINS - 1)
    weight, delta, square = (np.zeros((len(pairs), cells)) for _ in range(3))
    borders = np.searchsorted(pairs[:, 0], np.arange(len(rows) + 1))
    for index, table in enumerate(rows):
        part = slice(borders[index], borders[index + 1])
        key = tuple(int(count) for count in table)
        hypotheses = _hypotheses(key, float(added[index]), float(theta[index]), smoothing)
        weight[part], delta[part], square[part] = _weigh(hypotheses, pairs[part, 1:])
    return Likelihood(weight, delta, square, pair_of)


def _distinct(rows: Counts) -> tuple[Counts, NDArray[np.int64]]:
    """The different rows, sorted, and which of them each row is."""
    different, which = np.unique(rows, axis=0, return_inverse=True)
    return different, which.reshape(-1).astype(np.int64)


def _by_rank(student: Counts, teacher: Counts) -> tuple[Counts, Counts]:
    """Teacher counts by rank [n, RANKS + 3] (the last two: answers, single answers), the student's [n, RANKS + 5].

    The student's last four: samples that the teacher did not give, their number of different answers, the count of the
    most frequent of these, and how many of them have that count.
    """
    num, classes = teacher.shape
    student = np.where(teacher.sum(axis=1, keepdims=True) > 0, student, 0)
    order = np.argsort(-teacher, axis=1, kind="stable")[:, :RANKS]
    tables, given = (np.zeros((num, RANKS + 1), dtype=np.int64) for _ in range(2))
    known = np.where(teacher > 0, student, 0)
    for ranked, counts in ((tables, teacher), (given, known)):
        ranked[:, : min(RANKS, classes)] = np.take_along_axis(counts, order, axis=1)
        ranked[:, RANKS] = counts.sum(axis=1) - ranked[:, :RANKS].sum(axis=1)
    new = student - known
    top = new.max(axis=1, initial=0)
    equal = np.where(top > 0, (new == top[:, None]).sum(axis=1), 0)
    return (
        np.column_stack([tables, (teacher > 0).sum(axis=1), (teacher == 1).sum(axis=1), (teacher == 2).sum(axis=1)]),
        np.column_stack([given, new.sum(axis=1), (new > 0).sum(axis=1), top, equal]),
    )


def _added(tables: Counts, times: Counts) -> Floats:
    """[tables] pseudo-count a of each seen answer, by number of answers: what predicts a left-out sample best.

    Of the samples of answers given c ≥ 2 times, log((c - 1 + a) / (m - 1 + K a)) is summed; a from `PSEUDO`.
    """
    counts = tables[:, :RANKS]
    num, answers = tables[:, : RANKS + 1].sum(axis=1), tables[:, -3]
    twice = counts >= 2
    hits = np.empty((len(tables), len(PSEUDO)))
    for column, pseudo in enumerate(PSEUDO):
        share = np.where(twice, counts - 1 + pseudo, 1.0) / np.maximum(num - 1 + answers * pseudo, 0.5)[:, None]
        hits[:, column] = times * (np.where(twice, counts * np.log(share), 0.0)).sum(axis=1)
    by_answers = np.zeros((int(answers.max(initial=0)) + 1, len(PSEUDO)))
    np.add.at(by_answers, answers, hits)
    by_answers += by_answers.sum(axis=0) * 0.01
    return PSEUDO[by_answers.argmax(axis=1)][answers]


def _tail_strength(tables: Counts, times: Counts, added: Floats) -> Floats:
    """θ [tables] from the unseen mass u: P(new answer | answers, single answers), over the pool with one left out.

    Of a table's m samples, leaving out a single one is a draw of a new answer from (answers - 1, single - 1); one of
    an answer given twice, a draw of a known one from (answers, single + 1); any other, from (answers, single).
    Two more draws at (single + 1/2) / (m + 1) stand for what a small pool lacks.
    """
    num = tables[:, : RANKS + 1].sum(axis=1)
    answers, single, double = tables[:, -3], tables[:, -2], tables[:, -1]
    span = int(answers.max(initial=0)) + 2
    new, known = (np.zeros((span, span)) for _ in range(2))
    weight = times / np.maximum(num, 1)
    np.add.at(new, (np.maximum(answers - 1, 0), np.maximum(single - 1, 0)), weight * single)
    np.add.at(known, (answers, single + 1), weight * 2 * double)
    np.add.at(known, (answers, single), weight * (num - single - 2 * double))
    guess = (single + 0.5) / (num + 1)
    seen_new, seen = new[answers, single], new[answers, single] + known[answers, single]
    unseen = np.clip((seen_new + 2 * guess) / (seen + 2), 1e-4, 0.95)
    theta: Floats = np.maximum(num + answers * added, 1) * unseen / (1 - unseen)
    return theta


def _weigh(hypotheses: _Hypotheses, given: Counts) -> tuple[Floats, Floats, Floats]:
    """Likelihood, mean Δ and mean Δ² per cell for the student counts [rows, RANKS + 5] of one teacher table."""
    log_p, theta = hypotheses.log_p, hypotheses.theta
    log = given[:, : RANKS + 1].astype(np.float32) @ log_p[:, : RANKS + 1].T
    # Samples that the teacher did not give: all from the tail, or the most frequent of them is the rival.
    new = np.flatnonzero(given[:, RANKS + 1])
    total, different, top, equal = (given[new, RANKS + 1 + column, None].astype(np.float32) for column in range(4))
    tail, rival = log_p[:, _TAIL], log_p[:, _RIVAL]
    all_tail = total * tail + (_partition(total, different, theta) + gammaln(top))
    one_rival = top * rival + (total - top) * tail + (_partition(total - top, different - 1, theta) + np.log(equal))
    log[new] += np.logaddexp(all_tail, one_rival)
    like = np.exp(log - log.max(axis=1, keepdims=True))

    cells = 1 + KINDS * (BINS - 1)
    weight, delta, square = (np.zeros((len(given), cells)) for _ in range(3))
    filled, values = hypotheses.filled, hypotheses.delta
    sums = [np.add.reduceat(like * values**power, hypotheses.starts, axis=1) for power in range(3)]
    weight[:, filled] = sums[0] / np.diff(np.append(hypotheses.starts, len(values)))
    safe = np.maximum(sums[0], 1e-37)
    delta[:, filled], square[:, filled] = sums[1] / safe, sums[2] / safe
    return weight, delta, square


def _partition(total: Singles, different: Singles, theta: float) -> Singles:
    """log of θ^k Γ(θ) / Γ(θ + n): how n tail samples share k answers (Ewens 1972), less what all cells share."""
    log = np.maximum(different, 0) * np.log(theta) + gammaln(theta) - gammaln(theta + total)
    return np.asarray(log, dtype=np.float32)


@dataclass(frozen=True)
class _Hypotheses:
    """What one teacher table allows, sorted by cell."""

    log_p: Singles
    """[hypotheses, RANKS + 3] log of the student's distribution."""
    delta: Singles
    """[hypotheses]"""
    theta: float
    starts: NDArray[np.int64]
    """[filled] the first hypothesis of each cell that has any."""
    filled: NDArray[np.int64]


@lru_cache(maxsize=256)
def _hypotheses(table: tuple[int, ...], added: float, theta: float, smoothing: float) -> _Hypotheses:
    """The hypotheses about a teacher table; remembered, since each wave asks for the same ones."""
    rng = np.random.default_rng(table)
    counts = np.array(table)
    answers = (counts[: RANKS + 1] > 0).astype(np.float64)
    answers[RANKS] = max(table[-3] - RANKS, 0)
    q, p = _draw(np.append(counts[: RANKS + 1] + added * answers, theta), rng)
    delta = _skew_kl(p, q, smoothing)
    delta[:SAME] = 0.0
    bins = np.searchsorted(edges(smoothing)[1:-1], delta, side="right")
    cells = np.append(np.zeros(SAME, dtype=np.int64), 1 + np.repeat(np.arange(KINDS), DIFFERENT) * (BINS - 1))
    cells[SAME:] += bins[SAME:]
    order = np.argsort(cells, kind="stable")
    filled, starts = np.unique(cells[order], return_index=True)
    log_p = np.log(np.maximum(p[order], 1e-12)).astype(np.float32)
    return _Hypotheses(log_p, delta[order].astype(np.float32), theta, starts, filled)


def _draw(shape: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Teacher and student distributions [SAME + KINDS · DIFFERENT, RANKS + 3]; q ~ Dirichlet(shape [RANKS + 2])."""
    num, theta = SAME + KINDS * DIFFERENT, shape[_TAIL]
    seen = shape > 0
    q = _dirichlet(np.broadcast_to(shape, (num, RANKS + 2)), rng)
    p, w = q.copy(), np.zeros(num)
    rival, other, surer, mixed = (
        slice(SAME + kind * DIFFERENT, SAME + (kind + 1) * DIFFERENT) for kind in range(KINDS)
    )
    sizes = (np.arange(DIFFERENT) + rng.random(DIFFERENT)) / DIFFERENT

    w[rival] = sizes
    p[rival] *= 1 - sizes[:, None]
    favourite = np.eye(RANKS + 2)[rng.choice(np.flatnonzero(seen), DIFFERENT)]
    p[other] = (1 - sizes[:, None]) * q[other] + sizes[:, None] * favourite
    # The tail is about θ answers, so that surer students give it up.
    power = np.exp(np.log(8) * (2 * sizes - 1))[:, None]
    spread = np.where(np.arange(RANKS + 2) == _TAIL, max(theta, 1.0), 1.0)
    p[surer] = spread * (q[surer] / spread) ** power
    p[surer] /= p[surer].sum(axis=1, keepdims=True)
    share = rng.random(DIFFERENT)
    w[mixed] = sizes * share
    strength = np.array([0.3, 1.0, 4.0])[rng.integers(3, size=DIFFERENT)][:, None]
    opinion = _dirichlet(strength * (0.5 * q[mixed] + 0.5 * seen / seen.sum()), rng)
    p[mixed] = (1 - sizes[:, None]) * q[mixed] + (sizes * (1 - share))[:, None] * opinion
    return np.column_stack([q, np.zeros(num)]), np.column_stack([p, w])


def _dirichlet(shape: Floats, rng: np.random.Generator) -> Floats:
    draws = rng.standard_gamma(np.maximum(shape, 1e-3)) * (shape > 0) + 1e-12
    shares: Floats = draws / draws.sum(axis=1, keepdims=True)
    return shares


def _skew_kl(p: Floats, q: Floats, smoothing: float) -> Floats:
    mixed = (1 - smoothing) * q + smoothing * p
    terms = np.where(p > 0, p * np.log(np.maximum(p, 1e-12) / np.maximum(mixed, 1e-12)), 0.0)
    return np.clip(terms.sum(axis=1), 0.0, -np.log(smoothing))
