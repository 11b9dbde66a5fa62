"""What a count table leaves open about the true distances: posterior means and variances, in closed form.

The prior says how a pair of models may differ *if* it differs; whether it does is left to the test of `zero_delta`.
With x and y samples of n and m in a class, N = n + m:

- the class's share of all samples is s ~ Beta(x + y, N + 1 - x - y): what came once may come again, and one
  pseudo-sample is left for answers that nobody gave;
- the student's part of that share is θ ~ Beta(2 c n / N + x, 2 c m / N + y), independent of s, so that
  p = s θ N / n and q = s (1 - θ) N / m. The concentration c is one for a prompt: small where each answer is one side's
  only, large where all answers shift a little;
- c is one of `CONCENTRATIONS`, each as likely before the data, and by the Beta-binomial likelihood of all classes of
  the prompt after them: prompts that look alike throughout are shrunk, others are not;
- classes that came once (and unseen ones) are *rare*: singly they would say that both sides' answers are disjoint,
  though two models with one long tail give just such samples. They are one class together, with the pseudo-sample.
  Inside it, either both sides share answers in the ratio θ : 1 - θ, or they share the smaller side's and the rest is
  new: one half each.

A distance is a sum over classes of homogeneous terms h (see `distances`), so its moments are sums over classes of
products of a moment of s, rational in the counts, and one of h(θ, 1 - θ), by Gauss-Jacobi quadrature; both depend on
(x, y) only and are computed once for each of the few cells that occur. The constraint that p and q each sum to 1,
sum_k (p_k - q_k) = 0, is then put in by linear regression on that sum, and the mixture over c is taken.

Sources: the skeleton is the Dirichlet model of a multinomial (Good 1965); the rest is ours, chosen by simulation: see
`estimators`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import poch, roots_jacobi

from policies.distances import DEGREES, bounds, terms
from policies.tables import Ints, SameSizes, Tables

Floats = NDArray[np.float64]

CONCENTRATIONS = (0.1, 0.5, 2.0)
_UNSEEN = 1.0
"""Pseudo-samples of answers that nobody gave."""
_ROWS = 20_000
"""Tables whose moments are in memory at once."""
_EDGE = 1e-4
"""Posterior means stay this share of the bound away from both ends, where no transformed scale could place them."""


def posterior_moments(tables: Tables, smoothing: float) -> tuple[Floats, Floats]:
    """Mean and variance [tables, 4] of each of the four distances, given that the models differ."""
    mean, variance = np.zeros((2, tables.num_distinct, 4))
    for group in tables.by_sizes():
        cells, design = _cells(group)
        per_cell = [_cell_moments(*cells, group.n, group.m, c, smoothing) for c in CONCENTRATIONS]
        stacked = np.concatenate(per_cell, axis=1)
        for start in range(0, len(group.tables), _ROWS):
            part = slice(start, start + _ROWS)
            sums = (design[part] @ stacked).reshape(-1, len(CONCENTRATIONS), stacked.shape[1] // len(CONCENTRATIONS))
            places = group.tables[part]
            mean[places], variance[places] = _mixed(sums, smoothing)
    return mean, variance


def _cells(group: SameSizes) -> tuple[tuple[Ints, Ints, NDArray[np.bool_]], csr_matrix]:
    """The distinct cells (x, y, rare) of tables, and how often each table has each, [tables, cells]."""
    rows, tried, taught, num_rows = group.rows, group.student, group.teacher, len(group.tables)
    rare = tried + taught == 1
    tried_once, taught_once = (
        np.bincount(rows[rare], weights=side[rare], minlength=num_rows).astype(np.int64) for side in (tried, taught)
    )
    all_rows = np.concatenate([rows[~rare], np.arange(num_rows)])
    width = int(max(taught.max(initial=0), taught_once.max(initial=0))) + 1
    height = int(max(tried.max(initial=0), tried_once.max(initial=0))) + 1
    code = np.concatenate([(tried * width + taught)[~rare], height * width + tried_once * width + taught_once])
    seen, which = np.unique(code, return_inverse=True)
    design = csr_matrix((np.ones(len(code)), (all_rows, which.ravel())), shape=(num_rows, len(seen)))
    inner = seen % (height * width)
    return (inner // width, inner % width, seen >= height * width), design


def _cell_moments(x: Ints, y: Ints, rare: NDArray[np.bool_], n: int, m: int, c: float, smoothing: float) -> Floats:
    """What a class adds to the sums of a table, [cells, 16].

    Columns: the log likelihood of c; the means of the four terms; their variances; their covariances with d = p - q;
    and the mean, variance and, where not rare, squared variance of d.
    """
    total, z = n + m, x + y
    theta, weights, log_likelihood = _quadrature(x, y, n, m, c)
    share = z + _UNSEEN * rare

    def power(k: int) -> Floats:
        """The k-th moment [cells] of s."""
        moment: Floats = poch(share, k) / poch(total + _UNSEEN, k)
        return moment

    p, q = theta * total / n, (1 - theta) * total / m
    d = p - q
    mean_d = power(1) * (weights @ d)
    variance_d = power(2) * (weights @ d**2) - mean_d**2
    alike, apart = terms(p, q, smoothing), terms(np.maximum(d, 0), np.maximum(-d, 0), smoothing)
    half = np.where(rare, 0.5, 0.0)
    means, variances, covariances = [], [], []
    for h, split, degree in zip(alike, apart, DEGREES, strict=True):
        first, square, cross = weights @ h, weights @ h**2, weights @ (h * d)
        if degree == 1:  # rare answers: half as one class, half with what one side has more of as answers of its own
            first = (1 - half) * first + half * (weights @ split)
            square = (1 - half) * square + half * (weights @ split**2)
            cross = (1 - half) * cross + half * (weights @ (split * d))
            scale = np.ones(len(z))
        else:  # many small squares instead of one large one
            scale = np.where(rare, 1 / np.maximum(z, 1), 1.0)
        mean = scale * power(degree) * first
        means.append(mean)
        variances.append(scale**2 * power(2 * degree) * square - mean**2)
        covariances.append(scale * power(degree + 1) * cross - mean * mean_d)
    spread = [mean_d, variance_d, np.where(rare, 0.0, variance_d**2)]
    return np.stack([log_likelihood, *means, *variances, *covariances, *spread], axis=1)


def _quadrature(x: Ints, y: Ints, n: int, m: int, c: float) -> tuple[Floats, Floats, Floats]:
    """Of Beta(2 c n / N, 2 c m / N) times θ^x (1 - θ)^y: nodes [k], weights [cells, k] of sum 1, log total [cells].

    The total is the likelihood of c, relative to that of p = q. More samples need more nodes: theirs is narrower.
    """
    total = n + m
    theta, prior = _rule(max(48, 5 * math.isqrt(total)), 2 * c * n / total, 2 * c * m / total)
    logs = x[:, None] * np.log(theta * total / n) + y[:, None] * np.log1p(-theta) + y[:, None] * math.log(total / m)
    largest = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - largest) * prior
    totals = weights.sum(axis=1, keepdims=True)
    return theta, weights / totals, (largest + np.log(totals))[:, 0]


@lru_cache(maxsize=256)
def _rule(num: int, a: float, b: float) -> tuple[Floats, Floats]:
    """The quadrature rule of Beta(a, b): nodes and weights [num], the weights of sum 1."""
    with np.errstate(divide="ignore", invalid="ignore"):  # of a branch that scipy then does not take
        nodes, weights = roots_jacobi(num, b - 1, a - 1)
    return np.clip((nodes + 1) / 2, 1e-300, 1 - 1e-16), weights / weights.sum()


def _mixed(sums: Floats, smoothing: float) -> tuple[Floats, Floats]:
    """Mean and variance [tables, 4] from the sums over classes [tables, concentrations, 16]."""
    log_likelihood, means, variances, covariances = sums[..., 0], sums[..., 1:5], sums[..., 5:9], sums[..., 9:13]
    mean_d, variance_d, squared = sums[..., 13:14], sums[..., 14:15], sums[..., 15]
    slope = covariances / variance_d
    means = means - slope * mean_d
    variances = np.maximum(variances - slope * covariances, 0)
    # Conditioning takes v_k² / sum(v) from each class's variance of d, and so from the mean of its square.
    means[..., 3] -= squared / variance_d[..., 0]
    largest = bounds(smoothing)
    means = np.clip(means, _EDGE * largest, (1 - _EDGE) * largest)
    odds = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    odds = (odds / odds.sum(axis=1, keepdims=True))[..., None]
    mean = (odds * means).sum(axis=1)
    return mean, (odds * (variances + means**2)).sum(axis=1) - mean**2
