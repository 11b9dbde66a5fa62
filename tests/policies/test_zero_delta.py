"""Both rules of zero-delta: the exact permutation test against all permutations, and Benjamini-Hochberg."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from policies import zero_delta
from policies.tables import count_tables, tables_of_counts
from policies.zero_delta import benjamini_hochberg, p_values, plug_in_zero

SMALL = st.integers(1, 5).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 3), min_size=k, max_size=k).filter(any)] * 2).filter(
        lambda pair: sum(pair[0]) + sum(pair[1]) <= 9
    )
)


def p_of_all_permutations(student: list[int], teacher: list[int]) -> float:
    x, y = np.array(student), np.array(teacher)
    n, m, z = x.sum(), y.sum(), x + y

    def statistic(part: np.ndarray) -> int:
        return int((((n + m) * part - n * z) ** 2).sum())

    samples = np.repeat(np.arange(len(z)), z)
    drawn = [
        statistic(np.bincount(samples[list(chosen)], minlength=len(z)))
        for chosen in itertools.combinations(range(n + m), n)
    ]
    return float(np.mean([value >= statistic(x) for value in drawn]))


def p_of(student: list[int], teacher: list[int]) -> float:
    return float(p_values(tables_of_counts(np.array([student]), np.array([teacher])))[0])


@given(SMALL)
def test_p_value_is_the_share_of_all_permutations(pair: tuple[list[int], list[int]]) -> None:
    assert p_of(*pair) == pytest.approx(p_of_all_permutations(*pair), rel=1e-12)


@given(SMALL)
def test_p_value_does_not_depend_on_which_side_is_which(pair: tuple[list[int], list[int]]) -> None:
    assert p_of(*pair) == pytest.approx(p_of(*pair[::-1]), rel=1e-12)


def test_p_value_of_disjoint_answers_is_one_in_all_splits() -> None:
    assert p_of([16, 0], [0, 16]) == pytest.approx(2 / 601_080_390, rel=1e-9)


def test_p_values_of_a_pool_are_those_of_its_prompts() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.integers(-1, 5, size=(80, 6)), rng.integers(-1, 5, size=(80, 5))
    student[:, 0], teacher[:, 0] = 0, 1
    tables = count_tables(student, teacher)
    pooled = p_values(tables)[tables.of_prompt]
    alone = [p_values(count_tables(student[i : i + 1], teacher[i : i + 1]))[0] for i in range(80)]
    assert pooled == pytest.approx(alone, rel=1e-12)


def test_p_values_are_valid_when_both_sides_are_the_same() -> None:
    rng = np.random.default_rng(1)
    answers = rng.integers(0, 4, size=(20_000, 14)).astype(np.int16)
    tables = count_tables(answers[:, :8], answers[:, 8:])
    p = p_values(tables)[tables.of_prompt]
    for level in (0.01, 0.05, 0.2):
        assert np.mean(p <= level) <= level + 3 * (level / 20_000) ** 0.5


def test_many_samples_are_tested_by_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = tables_of_counts(np.array([[9, 4, 3], [6, 6, 4]]), np.array([[4, 9, 3], [7, 5, 4]]))
    exact = p_values(tables)
    monkeypatch.setattr(zero_delta, "EXACT_STATES", 1)
    drawn = p_values(tables, seed=3)
    assert drawn == pytest.approx(exact, abs=0.05)
    assert np.array_equal(drawn, p_values(tables, seed=3))
    assert not np.array_equal(drawn, p_values(tables, seed=4))
    # (b + 1) / (r + 1): never zero, and a whole number of (r + 1)-ths.
    apart = p_values(tables_of_counts(np.array([[40, 0]]), np.array([[0, 40]])), seed=3)
    assert apart[0] == 1 / (zero_delta.PERMUTATIONS + 1)


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        ([1], [1], 1.0),
        ([1, 0], [0, 1], 1.0),
        ([1] * 16 + [0] * 16, [0] * 16 + [1] * 16, 1.0),
        ([16], [16], 1.0),
        ([3, 0], [0, 1], 0.25),
    ],
)
def test_p_values_of_hostile_tables(student: list[int], teacher: list[int], expected: float) -> None:
    assert p_of(student, teacher) == pytest.approx(expected)


def test_p_value_of_thousands_of_distinct_answers() -> None:
    codes = np.arange(6000)[None]
    assert p_values(count_tables(codes[:, :3000], codes[:, 3000:])) == pytest.approx([1.0])


def test_benjamini_hochberg_of_their_own_example() -> None:
    # Benjamini and Hochberg 1995, section 4.1: four of fifteen at 0.05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    declared = benjamini_hochberg(np.array([*p, 0.7590, 1.0]), 0.05)
    assert declared.tolist() == [True] * 4 + [False] * 11


@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=40), st.sampled_from([0.01, 0.05, 0.2]))
def test_benjamini_hochberg_agrees_with_scipy(p: list[float], level: float) -> None:
    adjusted = false_discovery_control(p)
    sure = np.abs(adjusted - level) > 1e-12
    assert (benjamini_hochberg(np.array(p), level) == (adjusted <= level))[sure].all()


def test_benjamini_hochberg_of_nothing_declares_nothing() -> None:
    assert benjamini_hochberg(np.zeros(0), 0.05).shape == (0,)


@given(SMALL, st.integers(1, 4), st.integers(1, 4))
def test_plug_in_zero_is_equality_of_shares(pair: tuple[list[int], list[int]], times: int, more: int) -> None:
    x, y = np.array(pair[0]), np.array(pair[1])
    same = np.array_equal(x * y.sum(), y * x.sum())
    counts = np.array([x, x * times]), np.array([y, x * more])
    tables = tables_of_counts(*counts)
    assert plug_in_zero(tables)[tables.of_prompt].tolist() == [same, True]
