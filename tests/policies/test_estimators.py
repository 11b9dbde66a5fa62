"""The four distances and their intervals, over whole pools."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from policies.distances import NAMES, bounds, distances
from policies.estimators import Estimates, estimate, plug_in, self_disagreement, unbiased_squared_distance
from policies.tables import count_tables, tables_of_counts

PAIRS = st.integers(1, 6).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 9), min_size=k, max_size=k).filter(any).map(np.array)] * 2)
)
SMOOTHINGS = st.sampled_from([0.01, 0.05, 0.3])


def estimate_of(student: np.ndarray, teacher: np.ndarray, smoothing: float = 0.05, level: float = 0.9) -> Estimates:
    return estimate(tables_of_counts(student[None], teacher[None]), smoothing=smoothing, level=level)


@given(PAIRS, SMOOTHINGS)
def test_plug_in_values_agree_with_scipy(pair: tuple[np.ndarray, np.ndarray], smoothing: float) -> None:
    p, q = (side / side.sum() for side in pair)
    expected = [
        entropy(p, (1 - smoothing) * q + smoothing * p),
        np.abs(p - q).sum() / 2,
        jensenshannon(p, q) ** 2,
        ((p - q) ** 2).sum(),
    ]
    found = plug_in(tables_of_counts(pair[0][None], pair[1][None]), smoothing)[0]
    assert found == pytest.approx(np.nan_to_num(expected), abs=1e-12)
    assert found == pytest.approx(distances(p[None], q[None], smoothing)[:, 0], abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (4, 3), (2, 5)])
def test_u_is_unbiased_by_enumeration(n: int, m: int) -> None:
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
    tried, taught, chances = [], [], []
    for x in itertools.product(range(3), repeat=n):
        for y in itertools.product(range(3), repeat=m):
            tried.append(x)
            taught.append(y)
            chances.append(np.prod(p[list(x)]) * np.prod(q[list(y)]))
    tables = count_tables(np.array(tried), np.array(taught))
    u = unbiased_squared_distance(tables)[tables.of_prompt]
    assert float(u @ chances) == pytest.approx(((p - q) ** 2).sum(), abs=1e-12)


@given(PAIRS, SMOOTHINGS, st.sampled_from([0.5, 0.9, 0.99]))
def test_intervals_lie_within_the_bounds(pair: tuple[np.ndarray, np.ndarray], smoothing: float, level: float) -> None:
    found = estimate_of(*pair, smoothing, level)
    for distance, bound in zip(found.distances(), bounds(smoothing), strict=True):
        assert 0 <= distance.low[0] < distance.high[0] <= bound + 1e-12
        assert distance.low[0] <= distance.mean[0] <= bound
        assert math.isfinite(distance.value[0])
    assert 0 < found.p_value[0] <= 1


@given(PAIRS)
def test_intervals_grow_with_the_level(pair: tuple[np.ndarray, np.ndarray]) -> None:
    narrow, wide = (estimate_of(*pair, level=level).distances() for level in (0.8, 0.95))
    for inner, outer in zip(narrow, wide, strict=True):
        assert outer.low[0] <= inner.low[0]
        assert inner.high[0] <= outer.high[0]


def test_intervals_close_in_on_the_truth() -> None:
    p, q = np.array([[0.5, 0.3, 0.2, 0.0]]), np.array([[0.2, 0.3, 0.4, 0.1]])
    truth = distances(p, q, 0.05)[:, 0]
    widths = []
    for num in (1, 10, 100):
        found = estimate_of((p[0] * 10 * num).astype(int), (q[0] * 10 * num).astype(int)).distances()
        assert all(e.low[0] <= value <= e.high[0] for e, value in zip(found, truth, strict=True))
        widths.append([e.high[0] - e.low[0] for e in found])
    assert (np.diff(widths, axis=0) < 0).all()
    assert [e.mean[0] for e in found] == pytest.approx(truth, rel=0.05)


@given(PAIRS, st.randoms(use_true_random=False))
def test_nothing_depends_on_the_names_of_classes(pair: tuple[np.ndarray, np.ndarray], random: object) -> None:
    order = list(range(len(pair[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, other = estimate_of(*pair), estimate_of(pair[0][order], pair[1][order])
    for ours, theirs in zip(one.distances(), other.distances(), strict=True):
        assert (ours.value, ours.low, ours.high, ours.mean) == (theirs.value, theirs.low, theirs.high, theirs.mean)


def test_a_pool_has_the_rows_of_its_prompts() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.integers(-1, 3, size=(40, 6)), rng.integers(-1, 3, size=(40, 5))
    student[:, 0] = teacher[:, 0] = 1
    tables = count_tables(student, teacher)
    pooled = estimate(tables, smoothing=0.05, level=0.9).by_prompt(tables)
    assert tables.num_distinct < 40
    for i in range(40):
        alone = estimate(count_tables(student[i : i + 1], teacher[i : i + 1]), smoothing=0.05, level=0.9)
        for ours, theirs in zip(pooled.distances(), alone.distances(), strict=True):
            assert ours.value[i] == theirs.value[0]
            assert (ours.low[i], ours.high[i]) == pytest.approx((theirs.low[0], theirs.high[0]), rel=1e-9)


HOSTILE = {
    "all answers distinct": (np.arange(16), np.arange(16, 32)),
    "all empty": (np.zeros(16, int), np.zeros(16, int)),
    "one sample each, the same": (np.zeros(1, int), np.zeros(1, int)),
    "one sample each, different": (np.zeros(1, int), np.ones(1, int)),
    "one sample of the student": (np.zeros(1, int), np.array([0, 1, 1, 2])),
    "one sample of the teacher": (np.array([0, 1, 1, 2]), np.zeros(1, int)),
    "thousands of classes": (np.arange(4000), np.arange(2000, 6000)),
    "thousands of samples": (np.arange(3000) % 7, np.arange(2999) % 5),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_have_defined_results(name: str) -> None:
    student, teacher = HOSTILE[name]
    with np.errstate(all="raise", under="ignore"):
        found = estimate(count_tables(student[None], teacher[None]), smoothing=0.05, level=0.9)
    for distance, bound in zip(found.distances(), bounds(0.05), strict=True):
        numbers = [distance.value[0], distance.mean[0], distance.low[0], distance.high[0]]
        assert np.isfinite(numbers).all()
        assert 0 <= distance.low[0] < distance.high[0] <= bound + 1e-12
    assert -1 <= found.squared_distance.value[0] <= 2
    assert 0 < found.p_value[0] <= 1


def test_answers_in_common_with_nobody_leave_everything_open_above() -> None:
    found = estimate_of(np.array([8, 0]), np.array([0, 8]))
    assert [e.high[0] for e in found.distances()] == pytest.approx(bounds(0.05))
    assert found.reverse_kl.value[0] == pytest.approx(math.log(20))
    assert found.reverse_kl.low[0] > 1


@pytest.mark.parametrize("smoothing", [0.0, 1.0, -0.1])
def test_smoothing_outside_its_range_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match="smoothing"):
        estimate_of(np.array([1]), np.array([1]), smoothing)


@pytest.mark.parametrize(("concentration", "classes"), [(0.1, 6), (0.5, 6), (2.0, 6), (1.0, 2)])
@pytest.mark.parametrize(("n", "m"), [(16, 16), (8, 16)])
def test_intervals_are_calibrated(concentration: float, classes: int, n: int, m: int) -> None:
    rng = np.random.default_rng(0)
    q = rng.dirichlet([concentration] * classes, size=3000)
    p = np.where((np.arange(3000) % 2 == 0)[:, None], q, rng.dirichlet([concentration] * classes, size=3000))
    tables = tables_of_counts(rng.multinomial(n, p), rng.multinomial(m, q))
    found = estimate(tables, smoothing=0.05, level=0.9).by_prompt(tables)
    for name, distance, truth in zip(NAMES, found.distances(), distances(p, q, 0.05), strict=True):
        held = (distance.low <= truth) & (truth <= distance.high)
        assert held[::2].mean() >= 0.89, name
        assert 0.84 <= held[1::2].mean() <= 0.98, name


def test_self_disagreement_compares_halves_by_sample_index() -> None:
    teacher = np.array(
        [[1, 1, 1, 2, 2, 2], [1, 2, 1, 2, 1, 1], [1, -1, 1, 3, 1, -1], [5, -1, -1, -1, -1, -1], [-1] * 6]
    )
    floor, known = self_disagreement(teacher, 0.05)
    assert known.tolist() == [True, True, True, False, False]
    assert floor[0] == pytest.approx(math.log(20))
    expected = estimate_of(np.array([2, 1]), np.array([2, 1])).reverse_kl.value[0]
    assert floor[1] == expected == 0
    assert floor[2] == pytest.approx(-math.log(0.95 / 2 + 0.05))
    assert floor[3:].tolist() == [0, 0]


def test_a_large_pool_takes_seconds() -> None:
    rng = np.random.default_rng(0)
    student, teacher = (np.minimum(rng.geometric(0.6, size=(50_000, 16)), 9).astype(np.int16) for _ in range(2))
    start = time.process_time()
    tables = count_tables(student, teacher)
    estimate(tables, smoothing=0.05, level=0.9).by_prompt(tables)
    assert tables.num_distinct < 20_000
    assert time.process_time() - start < 5
