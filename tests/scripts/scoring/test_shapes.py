"""The simulated pools are what their docstring says."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.scoring.shapes import SHAPES, draw, make_pool, next_round, null_pool


@pytest.mark.parametrize("shape", SHAPES)
def test_pools_are_distributions_with_mostly_zero_delta(shape: str) -> None:
    rng = np.random.default_rng(0)
    pool = make_pool(shape, 3000, rng)
    for _ in range(3):
        for side in (pool.student, pool.teacher):
            assert side.min() >= 0
            assert side.sum(axis=1) == pytest.approx(1)
        assert 0.55 <= pool.zero.mean() <= 0.85
        assert np.linalg.norm(pool.embeddings, axis=1) == pytest.approx(1, abs=1e-5)
        differing = pool.total_variation[~pool.zero]
        assert differing.min() < 0.1 < 0.7 < differing.max()
        moved = next_round(pool, rng)
        assert np.array_equal(moved.teacher, pool.teacher)
        assert not np.array_equal(moved.student, pool.student)
        pool = moved


def test_neighbours_tell_something_about_the_difference() -> None:
    pool = make_pool("peaked", 3000, np.random.default_rng(0))
    near = np.argsort(-(pool.embeddings @ pool.embeddings.T), axis=1)[:, 1:11]
    total = pool.total_variation
    assert np.corrcoef(total, total[near].mean(axis=1))[0, 1] > 0.2


def test_a_null_pool_differs_nowhere() -> None:
    assert null_pool("flat", 50, np.random.default_rng(0)).zero.all()


def test_draws_follow_the_distribution() -> None:
    shares = np.array([[0.0, 0.7, 0.3, 0.0], [1.0, 0.0, 0.0, 0.0]])
    codes = draw(shares, 4000, np.random.default_rng(0))
    assert codes.dtype == np.int16
    assert np.bincount(codes[0], minlength=4) / 4000 == pytest.approx(shares[0], abs=0.03)
    assert (codes[1] == 0).all()


def test_unknown_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="take one of confident"):
        make_pool("round", 5, np.random.default_rng(0))
