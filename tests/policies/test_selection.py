"""What the student trains on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.selection import SELECTION, SHORTLIST, Choices, select

RULES = sorted(SELECTION)


def make_choices(num: int, seed: int = 0, dimensions: int = 4) -> Choices:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(num, dimensions)).astype(np.float32)
    delta = rng.choice([0.0, 0.5, 1.0, 3.0], size=num)
    return Choices(
        delta=delta,
        zero=delta == 0,
        consistency=rng.choice([0.25, 0.5, 1.0], size=num),
        agreement=rng.choice([0.0, 0.5, 1.0], size=num),
        embeddings=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )


def spread_choices(delta: list[float], agreement: list[float] | None = None) -> Choices:
    """Choices that are all eligible and have nothing in common."""
    num = len(delta)
    return Choices(
        delta=np.array(delta),
        zero=np.zeros(num, dtype=bool),
        consistency=np.ones(num),
        agreement=np.array(agreement if agreement is not None else [0.0] * num),
        embeddings=np.eye(num, dtype=np.float32),
    )


def pick(rule: str, choices: Choices, num: int, *, seed: int = 0, min_consistency: float = 0.5) -> list[int]:
    indices, _ = select(rule, choices, num=num, min_consistency=min_consistency, rng=np.random.default_rng(seed))
    return [int(index) for index in indices]


@pytest.mark.parametrize("rule", RULES)
@given(size=st.integers(0, 40), num=st.integers(0, 50), seed=st.integers(0, 999))
def test_no_repeats_and_only_eligible_ones(rule: str, size: int, num: int, seed: int) -> None:
    choices = make_choices(size, seed)
    indices, weights = select(rule, choices, num=num, min_consistency=0.5, rng=np.random.default_rng(seed))
    consistent = choices.consistency >= 0.5
    controls = {"uniform": np.ones(size, dtype=bool), "zero_delta": choices.zero & consistent}
    eligible = controls.get(rule, ~choices.zero & consistent)
    assert len(indices) == len(set(indices.tolist())) == min(num, int(eligible.sum()))
    assert eligible[indices].all()
    assert indices.dtype == np.int64
    assert weights.tolist() == [1.0] * len(indices)


@pytest.mark.parametrize("rule", RULES)
def test_same_generator_same_choice(rule: str) -> None:
    choices = make_choices(300)
    assert pick(rule, choices, 40, seed=1) == pick(rule, choices, 40, seed=1)
    assert pick(rule, choices, 40, seed=1) != pick(rule, choices, 40, seed=2)


def test_uniform_ignores_delta_and_consistency() -> None:
    choices = make_choices(200)
    assert sorted(pick("uniform", choices, 200)) == list(range(200))
    drawn = [index for seed in range(200) for index in pick("uniform", choices, 20, seed=seed)]
    assert choices.zero[drawn].mean() == pytest.approx(choices.zero.mean(), abs=0.03)


def test_the_uniform_rule_itself_respects_the_mask() -> None:
    eligible = np.arange(30) % 3 == 0
    indices = SELECTION["uniform"](make_choices(30), eligible, 30, np.random.default_rng(0))
    assert sorted(indices.tolist()) == list(range(0, 30, 3))


def test_delta_diverse_takes_the_highest_delta_first() -> None:
    assert pick("delta_diverse", spread_choices([0.1, 3.0, 2.0, 0.5]), 4) == [1, 2, 3, 0]


@pytest.mark.parametrize("common", [0.0, 40.0])
def test_delta_diverse_passes_over_duplicates_for_nearly_as_high_a_delta(common: float) -> None:
    # With a large common part, as encoders have it, all raw cosines are close to 1.
    vectors = np.eye(4)[[0, 0, 0, 1, 2]] + common
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    choices = Choices(np.array([3.0, 3.0, 3.0, 2.6, 1.0]), np.zeros(5, dtype=bool), np.ones(5), np.zeros(5), vectors)
    chosen = pick("delta_diverse", choices, 3)
    assert chosen[0] in {0, 1, 2}
    assert chosen[1] == 3
    assert chosen[2] in {0, 1, 2}


def test_delta_diverse_looks_at_a_shortlist_only() -> None:
    num = 3
    twins = [0] * (num * SHORTLIST)
    choices = Choices(
        delta=np.array([2.99] * 9 + [3.0] * len(twins)),
        zero=np.zeros(9 + len(twins), dtype=bool),
        consistency=np.ones(9 + len(twins)),
        agreement=np.zeros(9 + len(twins)),
        embeddings=np.eye(10, dtype=np.float32)[[*range(1, 10), *twins]],
    )
    assert all(index >= 9 for index in pick("delta_diverse", choices, num))


def test_ties_are_not_broken_by_position() -> None:
    for rule in ("delta_diverse", "hardest"):
        firsts = {pick(rule, spread_choices([1.0] * 6), 1, seed=seed)[0] for seed in range(60)}
        assert firsts == set(range(6))


def test_delta_weighted_draws_in_proportion_to_delta() -> None:
    choices = spread_choices([1.0, 3.0])
    firsts = [pick("delta_weighted", choices, 1, seed=seed)[0] for seed in range(2000)]
    assert np.mean(firsts) == pytest.approx(0.75, abs=0.04)


def test_delta_weighted_never_draws_a_delta_of_zero() -> None:
    assert sorted(pick("delta_weighted", spread_choices([0.0, 1.0, 0.0, 2.0]), 4)) == [1, 3]


def test_hardest_takes_the_least_agreement_first() -> None:
    assert pick("hardest", spread_choices([1.0] * 4, [0.5, 0.0, 1.0, 0.25]), 3) == [1, 3, 0]


def test_an_exhausted_pool_gives_an_empty_choice() -> None:
    choices = make_choices(20)
    for rule in ("delta_diverse", "delta_weighted", "hardest"):
        assert pick(rule, choices, 5, min_consistency=1.1) == []
