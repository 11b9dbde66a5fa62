"""Four distances between answer distributions, each a sum over classes of a term in p and q.

p is the student's share of a class and q the teacher's; logarithms are natural. Terms are at least 0 each, zero where
p = q, and homogeneous: a term of (t p, t q) is t^degree times that of (p, q). Arrays of any one shape.

| distance         | term                                            | degree | bound      | source             |
|------------------|-------------------------------------------------|--------|------------|--------------------|
| reverse_kl       | p log(p / m) - p + m, m = (1 - s) q + s p       | 1      | log(1 / s) | arXiv 2605.15532   |
| total_variation  | abs(p - q) / 2                                  | 1      | 1          |                    |
| jensen_shannon   | (p log(2p / (p + q)) + q log(2q / (p + q))) / 2 | 1      | log 2      | Lin 1991           |
| squared_distance | (p - q)²                                        | 2      | 2          | Gretton et al 2012 |

The plain KL(p, q) is infinite as soon as the student gives one answer that the teacher did not. Mixing a share s of p
into q (the skew divergence, Lee 1999) keeps it finite: 0 if and only if p = q, log(1 / s) if they have no answer in
common. The terms -p + m add up to nothing over all classes; they keep each term, and so every rounded sum, from being
negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Floats = NDArray[np.float64]
Term = Callable[[Floats, Floats, float], Floats]

NAMES = ("reverse_kl", "total_variation", "jensen_shannon", "squared_distance")
DEGREES = (1, 1, 1, 2)


def bounds(smoothing: float) -> Floats:
    """The largest value of each distance [4], in the order of `NAMES`."""
    return np.array([math.log(1 / smoothing), 1.0, math.log(2), 2.0])


def terms(p: Floats, q: Floats, smoothing: float) -> Floats:
    """The four terms of each class, [4, *shape], for shares p and q [*shape]. ValueError if s is not within (0, 1)."""
    if not 0 < smoothing < 1:
        raise ValueError(f"the smoothing is {smoothing}; it must lie between 0 and 1")
    mixed, middle = (1 - smoothing) * q + smoothing * p, np.where(p + q > 0, (p + q) / 2, 1.0)
    ratio = p / np.where(mixed > 0, mixed, 1.0)
    gap = p - q
    entropy = xlogy(p, p / middle) + xlogy(q, q / middle)
    return np.stack([np.maximum(xlogy(p, ratio) - p + mixed, 0), np.abs(gap) / 2, np.maximum(entropy / 2, 0), gap**2])


def distances(p: Floats, q: Floats, smoothing: float) -> Floats:
    """The four distances [4, rows] of known distributions [rows, classes]."""
    summed: Floats = terms(p, q, smoothing).sum(axis=2)
    return np.minimum(summed, bounds(smoothing)[:, None])
