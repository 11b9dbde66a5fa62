"""The paired interval, and who is promoted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.promotion import paired_interval, promote

SUITES = st.lists(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=20),
    min_size=1,
    max_size=4,
)


def compare(
    candidate: list[NDArray[np.float64]], student: list[NDArray[np.float64]], *, level: float = 0.9, seed: int = 0
) -> tuple[float, float, float]:
    return paired_interval(candidate, student, level=level, rng=np.random.default_rng(seed))


def correct(num: int, share: float, seed: int) -> NDArray[np.float64]:
    return (np.random.default_rng(seed).random(num) < share).astype(np.float64)


@given(SUITES)
def test_gain_is_the_unweighted_mean_of_suites_and_a_swap_turns_it_round(
    suites: list[list[tuple[float, float]]],
) -> None:
    candidate = [np.array([row[0] for row in suite]) for suite in suites]
    student = [np.array([row[1] for row in suite]) for suite in suites]
    gain, low, high = compare(candidate, student)
    means = [a.mean() - b.mean() for a, b in zip(candidate, student, strict=True)]
    assert gain == pytest.approx(np.mean(means))
    assert -1 - 1e-9 <= low <= high <= 1 + 1e-9
    assert compare(student, candidate)[0] == pytest.approx(-gain)


def test_equal_models_gain_nothing_and_are_not_promoted() -> None:
    values = [correct(50, 0.5, 0), correct(60, 0.7, 1)]
    assert compare(values, values) == (0.0, 0.0, 0.0)
    assert not promote(0.0, 0.0, tolerance=0.0)


def test_interval_covers_no_gain_at_its_level() -> None:
    held = 0
    for trial in range(200):
        one = [correct(150, 0.6, 4 * trial), correct(60, 0.4, 4 * trial + 1)]
        other = [correct(150, 0.6, 4 * trial + 2), correct(60, 0.4, 4 * trial + 3)]
        _, low, high = compare(one, other, seed=trial)
        held += low <= 0 <= high
    assert 0.83 <= held / 200 <= 0.97


def test_pairing_makes_the_interval_narrow() -> None:
    student = correct(300, 0.5, 0)
    candidate = student.copy()
    candidate[np.flatnonzero(student == 0)[:15]] = 1
    _, low, high = compare([candidate], [student])
    _, apart_low, apart_high = compare([np.sort(candidate)], [student])
    assert low > 0
    assert high - low < (apart_high - apart_low) / 2


def test_a_higher_level_is_wider_and_the_generator_decides() -> None:
    one, other = [correct(80, 0.7, 0)], [correct(80, 0.5, 1)]
    narrow, wide = compare(one, other, level=0.5), compare(one, other, level=0.99)
    assert wide[1] < narrow[1] <= narrow[2] < wide[2]
    assert compare(one, other, seed=3) == compare(one, other, seed=3)


@pytest.mark.parametrize(
    ("candidate", "student"),
    [([], []), ([[1.0]], []), ([[1.0], [1.0]], [[1.0]]), ([[]], [[]]), ([[1.0, 0.0]], [[1.0]])],
)
def test_what_cannot_be_paired_is_refused(candidate: list[list[float]], student: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="cannot"):
        compare([np.array(row) for row in candidate], [np.array(row) for row in student])


@pytest.mark.parametrize(
    ("gain", "low", "tolerance", "promoted"),
    [
        (0.05, 0.01, 0.0, True),
        (0.05, 0.0, 0.0, False),
        (0.05, -0.01, 0.0, False),
        (0.05, -0.01, 0.02, True),
        (-0.001, -0.01, 0.02, False),
    ],
)
def test_promote(gain: float, low: float, tolerance: float, promoted: bool) -> None:
    assert promote(gain, low, tolerance=tolerance) is promoted
