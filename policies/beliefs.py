"""What is believed of each prompt's Δ: a posterior whose prior the pool itself, the last round and neighbours give.

    Evidence -> likelihood per bin of Δ -> prior from the last round -> predicted Δ -> tilt per stratum -> Belief

Empirical Bayes (Efron 2010): a prompt's prior is a histogram over bins of Δ, the first of them p = q, and all that it
is made of comes of the pool by maximum likelihood (EM). Without a last round it is the pool's histogram. With one, it
is the last belief moved by a matrix of transitions between bins: a filtered hidden Markov chain, whose matrix says how
the student moves. Then (Ignatiadis & Wager 2019) a least-squares line predicts Δ from the prior, the neighbours and the
teacher's agreement; prompts are sorted by that into strata, and a stratum's bins are weighed up or down by what its
samples say. If neighbours or the last round tell nothing, then nothing moves. A prompt without samples has its prior:
its Δ is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from policies.hypotheses import BINS, KINDS, Likelihood, edges, likelihood

STRATA = 16
"""At most; each holds at least `STRATUM` prompts with samples."""

STRATUM = 100

SHRINKAGE = 100.0
"""How many prompts at what was expected are added to those that tell a histogram, or a row of the transitions."""

PULL, PULL_SHARE = 20.0, 0.1
"""How many prompts, and how many more per prompt of the pool, the default prior counts for among the kinds of p ≠ q."""

ITERATIONS = 30
"""Of EM; stopping early keeps to the prior what few samples a prompt cannot tell."""

ZERO = 0.7
"""Expected share of p = q, before any evidence (31 to 43 % of existing sets' prompts are delta prompts)."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """All that is known of n prompts between two waves, as aligned arrays; selecting samples only."""

    student: Counts
    """[n, k] answer counts of the current student, over the same k classes as `teacher`; any k."""
    teacher: Counts
    """[n, k] answer counts of the teacher. A prompt without any gets no samples: nothing could be compared."""
    last: Floats
    """[n, 3] the last round's `Belief.summary`, measured or predicted; NaN where unknown."""
    idle: Counts
    """[n] rounds since the prompt last got a sample: 1 after one in the last round; any large number for never."""
    neighbours: Counts
    """[n, h] positions of nearest prompts by embedding, the prompt itself left out; -1 for none. h may be 0."""
    eligible: NDArray[np.bool_]
    """[n] whether the prompt may enter the training set at all (consistent teacher)."""
    cost: Floats
    """[n] of one student sample, in the unit of the budget: 1, or tokens."""
    report_cost: Floats
    """[n] of the reporting samples of both sides together, less what the ledger holds, in the same unit."""

    @property
    def spent(self) -> float:
        """Cost of the selecting samples so far."""
        return float(self.student.sum(axis=1) @ self.cost)


@dataclass(frozen=True)
class Belief:
    """The posterior of each prompt's Δ."""

    weight: Floats
    """[n, BINS] probability of each bin; the first is p = q."""
    delta: Floats
    """[n, BINS] mean Δ within a bin."""
    mean: Floats
    """[n] posterior mean of Δ, in nats."""
    sd: Floats
    """[n] its posterior standard deviation."""
    predicted: NDArray[np.bool_]
    """[n] no sample of this student stands behind it."""

    @property
    def zero(self) -> Floats:
        """[n] probability that p = q."""
        return self.weight[:, 0]

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """[n] twice: the central credible interval of Δ, widened to its mean where that lies in a thin tail."""
        order = np.argsort(self.delta, axis=1, kind="stable")
        below = np.take_along_axis(self.weight, order, axis=1).cumsum(axis=1)
        sorted_delta = np.take_along_axis(self.delta, order, axis=1)
        ends = []
        for share in ((1 - level) / 2, (1 + level) / 2):
            place = np.minimum((below < share - 1e-12).sum(axis=1), self.delta.shape[1] - 1)
            ends.append(np.take_along_axis(sorted_delta, place[:, None], axis=1)[:, 0])
        return np.minimum(ends[0], self.mean), np.maximum(ends[1], self.mean)

    @property
    def summary(self) -> Floats:
        """[n, 3] mean, sd and P(p = q): what the next round needs."""
        return np.column_stack([self.mean, self.sd, self.zero])

    def gain(self, cut: float) -> Floats:
        """[n] what knowing Δ would be worth to the choice of Δ > cut: E max(Δ, cut) - max(E Δ, cut).

        The expected opportunity cost of deciding now (Gupta & Miescke 1996; Chick & Inoue 2001).
        """
        above = (self.weight * np.maximum(self.delta - cut, 0.0)).sum(axis=1)
        return np.maximum(above - np.maximum(self.mean - cut, 0.0), 0.0)


def posterior(evidence: Evidence, smoothing: float) -> Belief:
    """The belief in each prompt's Δ = KL(p, (1 - s) q + s p), s the smoothing."""
    num = len(evidence.teacher)
    if not num:
        none = np.zeros((0, BINS))
        return Belief(none, none, none[:, 0], none[:, 0], np.zeros(0, dtype=np.bool_))
    measured: NDArray[np.bool_] = (evidence.teacher.sum(axis=1) > 0) & (evidence.student.sum(axis=1) > 0)
    like, delta, square = _by_bin(likelihood(evidence.student, evidence.teacher, smoothing))
    base = _from_last_round(evidence.last, like, measured, smoothing)
    # The prior's mean is over the bins' centres: Δ within a bin knows the prompt's own samples, which count once.
    line = _predict(evidence, base @ _centres(smoothing), (_weigh(like, base) * delta).sum(axis=1), measured)
    weight = _weigh(like, base * _tilt(_strata(line, measured), like, base, measured))
    mean = (weight * delta).sum(axis=1)
    variance = (weight * square).sum(axis=1) - mean**2
    return Belief(weight, delta, mean, np.sqrt(np.maximum(variance, 0.0)), ~measured)


def _from_last_round(last: Floats, like: Floats, measured: NDArray[np.bool_], smoothing: float) -> Floats:
    """[n, BINS] prior: the last round's belief, moved as the student has; one histogram for the prompts without.

    The move is a matrix [BINS, BINS] of transition probabilities between bins of Δ, the most likely one (EM), each row
    with a Dirichlet prior of SHRINKAGE prompts half of which stay where they were: a hidden Markov model, filtered.
    """
    known = ~np.isnan(last).any(axis=1)
    fresh = measured & ~known
    pool = _most_likely(like[measured], np.ones(measured.sum()), _default(), SHRINKAGE)
    prior = np.tile(_most_likely(like[fresh], np.ones(fresh.sum()), pool, SHRINKAGE), (len(last), 1))
    if known.any():
        before = _histogram(last[known], smoothing)
        seen = measured[known]
        start = 0.5 * np.eye(BINS) + 0.5 * pool
        move = start
        for _ in range(ITERATIONS):
            explained = (
                like[known][seen] / np.maximum((before[seen] @ move * like[known][seen]).sum(axis=1), 1e-300)[:, None]
            )
            counts = move * (before[seen].T @ explained)
            move = (counts + SHRINKAGE * start) / (counts.sum(axis=1, keepdims=True) + SHRINKAGE)
        prior[known] = before @ move
    return prior


def _histogram(last: Floats, smoothing: float) -> Floats:
    """[n, BINS] of beliefs (mean, sd, P(p = q)) [n, 3]: the mass of p = q, and a discretised normal over the others."""
    zero = np.clip(last[:, 2], 0.0, 1.0 - 1e-6)
    mean = last[:, 0] / (1 - zero)
    variance = np.maximum((last[:, 1] ** 2 + last[:, 0] ** 2) / (1 - zero) - mean**2, 0.0)
    sd = np.sqrt(np.maximum(variance, 1e-4))
    shape = np.diff(norm.cdf((edges(smoothing) - mean[:, None]) / sd[:, None]), axis=1) + 1e-9
    return np.column_stack([zero, (1 - zero)[:, None] * shape / shape.sum(axis=1, keepdims=True)])


def _centres(smoothing: float) -> Floats:
    borders = edges(smoothing)
    return np.append(0.0, (borders[1:] + borders[:-1]) / 2)


def _tilt(strata: Counts, like: Floats, base: Floats, measured: NDArray[np.bool_]) -> Floats:
    """[n, BINS] by how much each bin is likelier in a prompt's stratum than its prompts' priors say."""
    tilts = np.ones((int(strata.max()) + 1, BINS))
    for index in range(len(tilts)):
        part = measured & (strata == index)
        if part.any():
            expected = base[part].mean(axis=0)
            # Likelihoods that the priors of the single prompts are part of: rows stay proportional.
            own = like[part] * base[part] / np.maximum(expected, 1e-300)
            tilts[index] = _most_likely(own, np.ones(len(own)), expected, SHRINKAGE) / np.maximum(expected, 1e-300)
    return tilts[strata]


def _default() -> Floats:
    """[BINS] the prior of a pool of which nothing is known: mostly p = q, small differences likelier than large."""
    rest = np.ones(BINS - 1)
    return np.append(ZERO, (1 - ZERO) * rest / rest.sum())


def _by_bin(found: Likelihood) -> tuple[Floats, Floats, Floats]:
    """Likelihood, Δ and Δ² per prompt and bin: the kinds of p ≠ q mixed as the pool's samples say."""
    times = np.bincount(found.row, minlength=len(found.weight)).astype(np.float64)
    start = np.append(ZERO, np.tile(_default()[1:] / KINDS, KINDS))
    prior = _most_likely(found.weight, times, start, PULL + PULL_SHARE * times.sum())

    share = prior[1:].reshape(KINDS, BINS - 1)
    cells = found.weight[:, 1:].reshape(-1, KINDS, BINS - 1) * (share / share.sum(axis=0))
    like = cells.sum(axis=1)
    parts = [np.column_stack([found.weight[:, 0], like])]
    for moment in (found.delta, found.square):
        mixed = (cells * moment[:, 1:].reshape(-1, KINDS, BINS - 1)).sum(axis=1) / np.maximum(like, 1e-300)
        parts.append(np.column_stack([np.zeros(len(mixed)), mixed]))
    like, delta, square = (part[found.row] for part in parts)
    return like, delta, square


def _most_likely(like: Floats, times: Floats, start: Floats, strength: float) -> Floats:
    """[bins] histogram that explains the rows [r, bins], each seen `times` [r], by EM; Dirichlet prior at `start`."""
    prior = start
    for _ in range(ITERATIONS):
        counts = prior * ((times / np.maximum(like @ prior, 1e-300)) @ like)
        prior = (counts + strength * start) / (counts.sum() + strength)
    return prior


def _weigh(like: Floats, prior: Floats) -> Floats:
    joint = like * prior + 1e-300
    weight: Floats = joint / joint.sum(axis=1, keepdims=True)
    return weight


def _predict(evidence: Evidence, prior: Floats, raw: Floats, measured: NDArray[np.bool_]) -> Floats:
    """[n] Δ by a ridge line through the measured prompts' `raw` belief; 0 for all if none is measured.

    It runs over the prior's mean, the neighbours' raw belief, and the teacher's agreement with itself.
    """
    around, there = _around(evidence.neighbours, raw, measured)
    agreement = evidence.teacher.max(axis=1, initial=0) / np.maximum(evidence.teacher.sum(axis=1), 1)
    features = np.column_stack([np.ones(len(raw)), prior, around, there, agreement, agreement**2])
    x, y = features[measured], raw[measured]
    slopes = np.linalg.solve(x.T @ x + 1e-3 * np.eye(x.shape[1]), x.T @ y)
    line: Floats = features @ slopes
    return line


def _around(neighbours: Counts, values: Floats, known: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """[n] mean value of each prompt's neighbours whose value is known, 0 without any; and whether there is any."""
    there = (neighbours >= 0) & known[neighbours]
    times = there.sum(axis=1)
    return np.where(there, values[neighbours], 0.0).sum(axis=1) / np.maximum(times, 1), times > 0


def _strata(line: Floats, measured: NDArray[np.bool_]) -> Counts:
    """[n] stratum by predicted Δ, at quantiles of the measured prompts'; equal predictions share a stratum."""
    num = int(np.clip(measured.sum() // STRATUM, 1, STRATA))
    if num == 1:
        return np.zeros(len(line), dtype=np.int64)
    edges = np.unique(np.quantile(line, np.arange(1, num) / num))
    return np.searchsorted(edges, line, side="left").astype(np.int64)
