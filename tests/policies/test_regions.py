"""Clusters, beliefs and failure skills."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.regions import PRIOR, assign, cluster, failure_skills, update
from store.records import Posterior

DELTAS = st.lists(st.floats(0, 3), max_size=10).map(lambda values: np.array(values, dtype=np.float64))
BELIEFS = st.builds(Posterior, st.floats(0, 3), st.floats(0.01, 1.0), st.floats(0, 50))


def unit_vectors(num: int, dimensions: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(num, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_cluster_is_deterministic_per_seed_and_leaves_the_threads_alone() -> None:
    vectors, threads = unit_vectors(500, 8), faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        first = cluster(vectors, 6, 2**62 + 1)
        assert np.array_equal(first, cluster(vectors, 6, 2**62 + 1))
        assert not np.array_equal(first, cluster(vectors, 6, 5))
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(threads)


def test_cluster_finds_what_is_there() -> None:
    centres = np.eye(4, 8, dtype=np.float32)
    truth = np.random.default_rng(1).integers(0, 4, 200)
    vectors = centres[truth] + 0.05 * unit_vectors(200, 8)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    centroids = cluster(vectors, 4, 3)
    labels = assign(vectors, centroids)
    assert len({(int(a), int(b)) for a, b in zip(truth, labels, strict=True)}) == 4
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("distinct", "num", "expected"), [(1, 8, 1), (3, 8, 3), (8, 8, 8), (20, 8, 8)])
def test_cluster_makes_no_more_regions_than_distinct_vectors(distinct: int, num: int, expected: int) -> None:
    vectors = np.repeat(unit_vectors(distinct, 4), 5, axis=0)
    centroids = cluster(vectors, num, 0)
    assert centroids.shape == (expected, 4)
    assert centroids.dtype == np.float32


def test_cluster_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no embeddings"):
        cluster(np.zeros((0, 4), dtype=np.float32), 3, 0)


def test_assign_takes_the_nearest_centroid() -> None:
    vectors, centroids = unit_vectors(50, 6), unit_vectors(5, 6, seed=1)
    labels = assign(vectors, centroids)
    assert labels.dtype == np.int64
    assert labels.tolist() == (vectors @ centroids.T).argmax(axis=1).tolist()
    assert assign(vectors[:0], centroids).shape == (0,)


@given(BELIEFS, DELTAS, DELTAS)
def test_update_in_two_steps_equals_one_when_nothing_is_forgotten(
    prior: Posterior, one: NDArray[np.float64], other: NDArray[np.float64]
) -> None:
    stepwise = update(update(prior, one, noise_variance=0.5, discount=1), other, noise_variance=0.5, discount=1)
    at_once = update(prior, np.concatenate([one, other]), noise_variance=0.5, discount=1)
    assert stepwise.mean == pytest.approx(at_once.mean)
    assert stepwise.variance == pytest.approx(at_once.variance)
    assert stepwise.num == pytest.approx(at_once.num)


def test_update_by_hand() -> None:
    posterior = update(Posterior(1.0, 0.5, 3), np.array([2.0, 3.0]), noise_variance=0.25, discount=1)
    # precisions 2 and 8, weighted sums 2 and 20
    assert (posterior.mean, posterior.variance, posterior.num) == (pytest.approx(2.2), pytest.approx(0.1), 5)


@given(BELIEFS, DELTAS)
def test_update_forgets_the_past_at_discount_zero(prior: Posterior, deltas: NDArray[np.float64]) -> None:
    posterior = update(prior, deltas, noise_variance=0.5, discount=0)
    fresh = update(PRIOR, deltas, noise_variance=0.5, discount=1)
    assert (posterior.mean, posterior.variance, posterior.num) == (
        pytest.approx(fresh.mean),
        pytest.approx(fresh.variance),
        len(deltas),
    )


@given(BELIEFS, st.floats(0, 1), st.floats(0, 1))
def test_update_is_less_sure_the_more_it_forgets(prior: Posterior, one: float, other: float) -> None:
    nothing = np.zeros(0)
    less, more = sorted([one, other])
    forgetful = update(prior, nothing, noise_variance=1, discount=less)
    mindful = update(prior, nothing, noise_variance=1, discount=more)
    assert mindful.variance <= forgetful.variance + 1e-12


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan")])
def test_update_refuses_noise_that_is_not_positive(noise: float) -> None:
    with pytest.raises(ValueError, match="not positive"):
        update(PRIOR, np.array([1.0]), noise_variance=noise, discount=1)


def test_failure_skills_puts_the_worst_first() -> None:
    skills = ["count"] * 20 + ["read"] * 20 + ["compare"] * 20
    deltas = np.repeat([0.5, 0.1, 2.0], 20)
    assert failure_skills(skills, deltas, 5) == ("compare", "count", "read")
    assert failure_skills(skills, deltas, 2) == ("compare", "count")
    assert failure_skills(skills, deltas, 0) == ()


def test_failure_skills_lets_no_small_count_win_by_luck() -> None:
    skills = ["rare"] + ["often"] * 40 + ["easy"] * 40
    deltas = np.array([2.0] + [1.5] * 40 + [0.0] * 40)
    assert failure_skills(skills, deltas, 3) == ("often", "rare")


def test_failure_skills_leaves_out_unknown_and_mastered_ones() -> None:
    assert failure_skills(["", "", "read"], np.array([3.0, 3.0, 0.0]), 3) == ()
    assert failure_skills(["", "read"], np.array([0.0, 0.1]), 3) == ("read",)
    assert failure_skills([], np.zeros(0), 3) == ()


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.floats(0, 3)), max_size=12), st.integers(0, 4))
def test_failure_skills_names_only_skills_that_fail(rows: list[tuple[str, float]], num: int) -> None:
    skills = failure_skills([skill for skill, _ in rows], np.array([delta for _, delta in rows]), num)
    failing = {skill for skill, delta in rows if skill and delta > 0}
    assert len(skills) == len(set(skills)) == min(num, len(failing))
    assert set(skills) <= failing
