"""Whether two models answer a prompt alike: two rules, over a whole pool.

- plug-in (the paper's): both empirical distributions are the same. Simple, and nearly never true of two models that do
  share a distribution: with a top answer of 0.8 and 2 x 16 samples, in under 3 % of draws.
- tested: a permutation test of p = q for each prompt, then Benjamini-Hochberg over the pool, which bounds the mean
  share of prompts with p = q among those declared to differ.

The statistic is the squared distance between the empirical distributions, sum_k (x_k / n - y_k / m)². Given a table's
totals z_k = x_k + y_k, under p = q every choice of n of the n + m samples is as likely as the observed one. With n = m
the statistic is, given the totals, an increasing function of the unbiased squared distance U. Its null distribution
depends on the sorted totals only, of which a pool has few (at most 8,349 with 2 x 16 samples), so it is computed
exactly, once for each, by adding class after class: a state is how many samples the smaller side has had so far and
the value so far. The exact p-value is what (b + 1) / (r + 1) over r random permutations tends to; where there are too
many samples for the exact one, that is what is reported.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import groupby
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from policies.tables import Ints, Tables, distinct

Floats = NDArray[np.float64]

EXACT_STATES = 2_000_000
"""Above this many states (from about 120 samples a side) the p-values of such tables come from permutations."""
PERMUTATIONS = 999


def plug_in_zero(tables: Tables) -> NDArray[np.bool_]:
    """[tables] whether both empirical distributions are the same, exactly, for unequal sample counts too."""
    num_student, num_teacher = tables.num_student[tables.table], tables.num_teacher[tables.table]
    differs = tables.student * num_teacher != tables.teacher * num_student
    return tables.per_table(differs.astype(np.int64)) == 0


def p_values(tables: Tables, *, seed: int = 0) -> Floats:
    """[tables] p-values of p = q, in (0, 1]; the seed matters above `EXACT_STATES` only."""
    found = np.ones(tables.num_distinct)
    for group in tables.by_sizes():
        larger = group.student if group.n >= group.m else group.teacher
        n, m = max(group.n, group.m), min(group.n, group.m)
        found[group.tables] = _p_values(group.rows, larger, group.student + group.teacher, n, m, seed)
    return found


def benjamini_hochberg(p: Floats, level: float) -> NDArray[np.bool_]:
    """[prompts] which are declared to differ: the k smallest p-values, k the largest with p_(k) <= k · level / num.

    Benjamini and Hochberg 1995: for independent prompts the mean share of false ones among the declared is at most
    `level` times the share of prompts with p = q. `p` is by prompt, `p_values(tables)[tables.of_prompt]`, not by table.
    """
    order = np.sort(p)
    passing = np.flatnonzero(order <= level * np.arange(1, len(p) + 1) / len(p))
    if not passing.size:
        return np.zeros(len(p), dtype=bool)
    return p <= order[passing[-1]]


def _p_values(rows: Ints, larger: Ints, totals: Ints, n: int, m: int, seed: int) -> Floats:
    """P-values [rows] of tables that all have n >= m samples on the larger and smaller side."""
    num_rows = int(rows[-1]) + 1
    closeness = _closeness(larger, totals, n, m)
    observed = np.bincount(rows, weights=closeness, minlength=num_rows).astype(np.int64)
    first, kind = distinct(rows, totals, num_rows)
    starts = np.searchsorted(rows, np.arange(num_rows + 1))
    kinds = [np.sort(totals[starts[row] : starts[row + 1]])[::-1].tolist() for row in first.tolist()]
    reach = max(_reach(parts, n, m) for parts in kinds)
    if (m + 1) * (reach + 1) <= EXACT_STATES:
        tails = _exact_tails(kinds, n, m)
        begins = np.cumsum([0] + [len(tail) for tail in tails])[:-1]
        return np.minimum(np.concatenate(tails)[begins[kind] + observed], 1.0)
    found = np.ones(num_rows)
    for number, parts in enumerate(kinds):
        rng = np.random.default_rng([seed, *parts])
        drawn = rng.multivariate_hypergeometric(parts, n, size=PERMUTATIONS, method="marginals")
        values = np.sort(_closeness(drawn, np.array(parts), n, m).sum(axis=1))
        mine = kind == number
        found[mine] = (np.searchsorted(values, observed[mine], side="right") + 1) / (PERMUTATIONS + 1)
    return found


Whole = TypeVar("Whole", int, Ints)


def _closeness(x: Whole, z: Whole, n: int, m: int) -> Whole:
    """A class's part of an integer that falls, given the totals, as the squared distance rises; at least 0.

    With g = gcd(n, m), a = (n + m) / g and b = n / g, nm / g · (x / n - (z - x) / m) = a x - b z, whose square is
    b² z² - a x (2 b z - a x). What varies is x (2 b z - a x), for n = m twice the x y.
    """
    a, b = (n + m) // math.gcd(n, m), n // math.gcd(n, m)
    return x * (2 * b * z - a * x) // (2 if a % 2 == 0 else 1)


def _reach(parts: list[int], n: int, m: int) -> int:
    """The largest value that the sum of `_closeness` can take, or a little more."""
    a, b = (n + m) // math.gcd(n, m), n // math.gcd(n, m)
    return sum(b * b * z * z // a // (2 if a % 2 == 0 else 1) for z in parts)


def _exact_tails(kinds: list[list[int]], n: int, m: int) -> list[Floats]:
    """For each list of descending totals, the null probability [values] of a closeness of at most 0, 1, 2, ...

    Lists are visited in order, so that those with a common beginning share its states. A state [m + 1, values] is kept
    flat: a class with y of the smaller side's samples and closeness c moves it by y · values + c. Weights are binomial
    probabilities, whose product over classes is proportional to that of the binomial coefficients.
    """
    tails: list[Floats] = [np.zeros(0)] * len(kinds)
    order = sorted(range(len(kinds)), key=kinds.__getitem__)
    for _, group in groupby(order, key=lambda number: kinds[number][0]):
        numbers = list(group)
        num_values = max(_reach(kinds[number], n, m) for number in numbers) + 1
        start = np.zeros((m + 1) * num_values)
        start[0] = 1.0
        moves: dict[int, list[tuple[int, float]]] = {}
        states, before = [start], list[int]()
        for number in numbers:
            parts = [z for z in kinds[number] if z > 1]
            shared = 0
            while shared < min(len(parts), len(before)) and parts[shared] == before[shared]:
                shared += 1
            del states[shared + 1 :]
            for z in parts[shared:]:
                if z not in moves:
                    moves[z] = _moves(z, n, m, num_values)
                states.append(_moved(states[-1], moves[z]))
            before = parts
            tails[number] = _last_row(states[-1].reshape(m + 1, num_values), len(kinds[number]) - len(parts), n, m)
    return tails


def _moves(z: int, n: int, m: int, num_values: int) -> list[tuple[int, float]]:
    """Where a class of z samples moves a state to, with which weight, for each y of the smaller side's samples."""
    y = np.arange(max(0, z - n), min(z, m) + 1)
    shifts = y * num_values + _closeness(z - y, np.full_like(y, z), n, m)
    return list(zip(shifts.tolist(), _weights(z, n, m)[y].tolist(), strict=True))


def _moved(state: Floats, moves: list[tuple[int, float]]) -> Floats:
    added = np.zeros(state.size)
    for shift, weight in moves:
        added[shift:] += weight * state[: state.size - shift]
    return added


def _last_row(state: Floats, singles: int, n: int, m: int) -> Floats:
    """The cumulative null distribution once classes of a single sample have completed the smaller side's m."""
    most = min(singles, m)
    weights, rows = _weights(singles, n, m)[: most + 1], state[m - most :][::-1]
    each = _closeness(1, 1, n, m)
    if each == 0:
        last = weights @ rows
    else:
        last = np.zeros(state.shape[1] + each * singles)
        for y in range(most + 1):
            shift = each * (singles - y)
            last[shift : shift + state.shape[1]] += weights[y] * rows[y]
    below = np.cumsum(last)
    scaled: Floats = below / below[-1]
    return scaled


@lru_cache(maxsize=4096)
def _weights(z: int, n: int, m: int) -> Floats:
    """Probabilities [z + 1] of y of z samples being the smaller side's."""
    y = np.arange(z + 1)
    logs = gammaln(z + 1) - gammaln(y + 1) - gammaln(z - y + 1) + y * math.log(m) + (z - y) * math.log(n)
    return np.exp(logs - z * math.log(n + m))
