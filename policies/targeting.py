"""Where synthesis is aimed: posteriors of the regions' mean Δ -> a share of the budget for each.

    posteriors -> rule -> weights [k] -> mixed with an even exploration share -> whole candidates per region

A rule is a function of the means, variances and sizes of the k regions that hold prompts; `TARGETING` names them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from store.records import Posterior

Rule = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], np.random.Generator], NDArray[np.float64]]
"""(means [k], variances [k], sizes [k], rng) -> weights [k], none negative, of any positive sum."""

DRAWS = 4096
"""Posterior draws of Thompson sampling: enough for shares that are right to about a percent."""

UCB_WIDTH = 1.645
"""Standard deviations above the mean: the upper end of a two-sided 90 % interval."""


def thompson(
    means: NDArray[np.float64], variances: NDArray[np.float64], sizes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The probability that a region has the highest mean Δ: the share of joint posterior draws that it wins.

    One draw per candidate, rather than one draw for the whole budget: a round hedges by itself (Thompson 1933).
    """
    draws = rng.normal(means, np.sqrt(variances), size=(DRAWS, len(means)))
    return np.bincount(draws.argmax(axis=1), minlength=len(means)) / DRAWS


def ucb(
    means: NDArray[np.float64], variances: NDArray[np.float64], sizes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Everything to the region with the highest upper bound of its mean Δ; equals share."""
    return _best(means + UCB_WIDTH * np.sqrt(variances))


def greedy(
    means: NDArray[np.float64], variances: NDArray[np.float64], sizes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Everything to the region with the highest posterior mean; equals share."""
    return _best(means)


def uniform(
    means: NDArray[np.float64], variances: NDArray[np.float64], sizes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """No aim: a region's share is its share of the pool, as if seeds were drawn blindly. The control arm."""
    return sizes / sizes.sum()


TARGETING: dict[str, Rule] = {"thompson": thompson, "ucb": ucb, "greedy": greedy, "uniform": uniform}


def allocate(
    rule_name: str,
    posteriors: Sequence[Posterior],
    sizes: Sequence[int] | NDArray[np.int64],
    *,
    budget: int,
    exploration: float,
    rng: np.random.Generator,
) -> list[int]:
    """Split `budget` candidates over the regions; the parts sum to it exactly.

    A share `exploration` in [0, 1] is spread evenly over the regions that hold prompts, whatever the rule says. Empty
    regions get nothing: there is no seed to build on; if all are empty, so are all parts.
    """
    members = np.asarray(sizes, dtype=np.int64)
    if len(members) != len(posteriors):
        raise ValueError(f"{len(posteriors)} posteriors for {len(members)} regions; pass one per region")
    filled = np.flatnonzero(members > 0)
    parts = np.zeros(len(members), dtype=np.int64)
    if len(filled):
        means = np.array([posterior.mean for posterior in posteriors])[filled]
        variances = np.array([posterior.variance for posterior in posteriors])[filled]
        weights = TARGETING[rule_name](means, variances, members[filled], rng)
        shares = exploration / len(filled) + (1 - exploration) * weights / weights.sum()
        parts[filled] = _largest_remainder(shares, budget)
    return [int(part) for part in parts]


def _best(values: NDArray[np.float64]) -> NDArray[np.float64]:
    best = (values == values.max()).astype(np.float64)
    return best / best.sum()


def _largest_remainder(shares: NDArray[np.float64], budget: int) -> NDArray[np.int64]:
    """Whole parts in proportion to shares that sum to one: floors, and the rest to the largest fractions."""
    exact = shares * budget
    parts = np.floor(exact).astype(np.int64)
    rest = budget - int(parts.sum())
    parts[np.argsort(parts - exact, kind="stable")[:rest]] += 1
    return parts
