"""How the budget is split over regions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.targeting import TARGETING, allocate
from store.records import Posterior

RULES = sorted(TARGETING)
REGIONS = st.lists(
    st.tuples(st.builds(Posterior, st.floats(0, 3), st.floats(1e-6, 2), st.floats(0, 99)), st.integers(0, 30)),
    min_size=1,
    max_size=9,
)


def split(
    rule: str,
    means: list[float],
    variances: list[float],
    sizes: list[int],
    *,
    budget: int = 100,
    exploration: float = 0.0,
) -> list[int]:
    posteriors = [Posterior(mean, variance, 1.0) for mean, variance in zip(means, variances, strict=True)]
    rng = np.random.default_rng(0)
    return allocate(rule, posteriors, sizes, budget=budget, exploration=exploration, rng=rng)


@pytest.mark.parametrize("rule", RULES)
@given(regions=REGIONS, budget=st.integers(0, 500), exploration=st.floats(0, 1), seed=st.integers(0, 99))
def test_parts_sum_to_the_budget_and_empty_regions_get_nothing(
    rule: str, regions: list[tuple[Posterior, int]], budget: int, exploration: float, seed: int
) -> None:
    posteriors, sizes = [row[0] for row in regions], [row[1] for row in regions]
    parts = allocate(rule, posteriors, sizes, budget=budget, exploration=exploration, rng=np.random.default_rng(seed))
    assert len(parts) == len(regions)
    assert sum(parts) == (budget if any(sizes) else 0)
    assert all(part >= 0 for part in parts)
    assert all(part == 0 for part, size in zip(parts, sizes, strict=True) if not size)
    filled = sum(size > 0 for size in sizes)
    floors = [part for part, size in zip(parts, sizes, strict=True) if size]
    assert all(part >= int(budget * exploration / filled - 1e-6) for part in floors)


@pytest.mark.parametrize("rule", RULES)
def test_same_generator_same_split(rule: str) -> None:
    arguments = ([0.5, 0.6, 0.7], [0.2, 0.2, 0.2], [5, 6, 7])
    assert split(rule, *arguments) == split(rule, *arguments)


def test_thompson_prefers_the_higher_posterior_and_hedges() -> None:
    parts = split("thompson", [0.4, 0.6, 0.8], [0.05, 0.05, 0.05], [5, 5, 5])
    assert parts[2] > parts[1] > parts[0] > 0


def test_thompson_gives_equal_beliefs_equal_parts() -> None:
    parts = split("thompson", [0.5] * 4, [0.3] * 4, [1, 10, 100, 1000], budget=4000)
    assert parts == pytest.approx([1000] * 4, rel=0.1)


def test_thompson_share_is_the_probability_of_being_best() -> None:
    # P(N(1, 1) > N(0, 1)) = Φ(1 / √2)
    assert split("thompson", [1.0, 0.0], [1.0, 1.0], [5, 5], budget=1000)[0] == pytest.approx(760, abs=30)


def test_thompson_explores_what_is_unknown() -> None:
    sure, unsure = split("thompson", [0.5, 0.5], [1e-6, 1.0], [5, 5])
    known = split("thompson", [0.5, 0.3], [1e-6, 1e-6], [5, 5])
    assert sure == pytest.approx(50, abs=5)
    assert unsure == 100 - sure
    assert known == [100, 0]


def test_greedy_takes_the_best_mean_and_ucb_the_best_upper_bound() -> None:
    means, variances = [1.0, 0.8, 0.1], [0.01, 0.25, 0.01]
    assert split("greedy", means, variances, [5, 5, 5]) == [100, 0, 0]
    assert split("ucb", means, variances, [5, 5, 5]) == [0, 100, 0]


def test_greedy_shares_between_equals() -> None:
    assert split("greedy", [1.0, 1.0, 0.1], [0.1] * 3, [5, 5, 5]) == [50, 50, 0]


def test_greedy_passes_over_an_empty_region() -> None:
    assert split("greedy", [1.0, 0.5], [0.1, 0.1], [0, 5]) == [0, 100]


def test_uniform_follows_the_pool_whatever_is_believed() -> None:
    assert split("uniform", [3.0, 0.0, 1.0], [0.1] * 3, [10, 30, 60]) == [10, 30, 60]


def test_rounding_goes_to_the_largest_remainders() -> None:
    assert split("uniform", [0.0] * 3, [0.1] * 3, [7, 21, 42], budget=7) == [1, 2, 4]


def test_exploration_is_spread_evenly_over_filled_regions() -> None:
    assert split("greedy", [1.0, 0.0, 0.0, 0.0], [0.1] * 4, [5, 5, 5, 0], budget=90, exploration=0.5) == [60, 15, 15, 0]


def test_one_posterior_per_region_is_asked_for() -> None:
    with pytest.raises(ValueError, match="one per region"):
        split("greedy", [1.0], [1.0], [5, 5])
