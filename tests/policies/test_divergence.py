"""Δ, its interval, zero-delta and consistency."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.answers import canonical
from policies.divergence import (
    UNANSWERED,
    answer_class,
    answer_counts,
    consistency,
    interval,
    is_zero_delta,
    majority,
    reverse_kl,
    score,
)
from policies.skew import skew_kl
from store.records import Rollout, RolloutStatus

Pair = tuple[NDArray[np.int64], NDArray[np.int64]]

SMOOTHINGS = st.sampled_from([0.01, 0.05, 0.3])
COUNTS = st.integers(1, 5).flatmap(lambda k: st.lists(st.integers(0, 9), min_size=k, max_size=k)).filter(any)
PAIRS = st.integers(1, 5).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 9), min_size=k, max_size=k).filter(any).map(np.array)] * 2)
)
CLASSES = st.lists(st.sampled_from(["1", "2", "3", UNANSWERED + "no_answer"]), min_size=1, max_size=9)


@given(PAIRS, SMOOTHINGS)
def test_delta_is_bounded_and_zero_only_for_equal_distributions(pair: Pair, smoothing: float) -> None:
    delta = reverse_kl(*pair, smoothing=smoothing)
    assert 0 <= delta <= math.log(1 / smoothing)
    assert (delta == 0) == is_zero_delta(*pair)


@given(PAIRS, SMOOTHINGS, st.randoms(use_true_random=False))
def test_delta_does_not_depend_on_the_order_of_classes(pair: Pair, smoothing: float, random: object) -> None:
    order = list(range(len(pair[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = reverse_kl(pair[0][order], pair[1][order], smoothing=smoothing)
    assert shuffled == reverse_kl(*pair, smoothing=smoothing)


def test_delta_by_hand() -> None:
    # p = (3/4, 1/4), q = (1, 0), s = 0.1: m = (0.975, 0.025)
    expected = 0.75 * math.log(0.75 / 0.975) + 0.25 * math.log(0.25 / 0.025)
    assert reverse_kl(np.array([6, 2]), np.array([8, 0]), smoothing=0.1) == pytest.approx(expected)


def test_delta_puts_the_student_first() -> None:
    few, many = np.array([8, 0]), np.array([4, 4])
    assert reverse_kl(few, many, smoothing=0.05) == pytest.approx(-math.log(0.95 * 0.5 + 0.05))
    assert reverse_kl(many, few, smoothing=0.05) > 1


def test_delta_of_disjoint_answers_is_the_bound() -> None:
    assert reverse_kl(np.array([8, 0]), np.array([0, 8]), smoothing=0.05) == pytest.approx(math.log(20))


@pytest.mark.parametrize(("student", "teacher"), [([0, 0], [1, 0]), ([1, 0], [0, 0])])
def test_delta_of_no_samples_is_refused(student: list[int], teacher: list[int]) -> None:
    with pytest.raises(ValueError, match="no samples"):
        reverse_kl(np.array(student), np.array(teacher), smoothing=0.05)


@given(COUNTS, st.integers(1, 7), st.integers(1, 7))
def test_zero_delta_holds_for_any_multiples_of_one_distribution(counts: list[int], times: int, more: int) -> None:
    assert is_zero_delta(np.array(counts) * times, np.array(counts) * more)


@given(PAIRS, st.integers(1, 7))
def test_zero_delta_is_symmetric_and_survives_scaling(pair: Pair, times: int) -> None:
    student, teacher = pair
    assert is_zero_delta(student, teacher) == is_zero_delta(teacher, student)
    assert is_zero_delta(student, teacher) == is_zero_delta(student * times, teacher)


@given(PAIRS)
def test_zero_delta_ends_with_one_more_sample_of_one_answer(pair: Pair) -> None:
    counts = pair[0]
    assume(np.count_nonzero(counts) > 1)
    more = counts.copy()
    more[np.flatnonzero(counts)[0]] += 1
    assert not is_zero_delta(more, counts)


@given(PAIRS, SMOOTHINGS, st.sampled_from([0.5, 0.9, 0.99]))
def test_interval_has_a_width_and_holds_the_estimate(pair: Pair, smoothing: float, level: float) -> None:
    low, high = interval(*pair, smoothing=smoothing, level=level)
    assert 0 <= low <= reverse_kl(*pair, smoothing=smoothing) <= high <= math.log(1 / smoothing)
    assert high > low


@given(PAIRS, SMOOTHINGS)
def test_interval_grows_with_the_level_and_shrinks_with_the_samples(pair: Pair, smoothing: float) -> None:
    low, high = interval(*pair, smoothing=smoothing, level=0.8)
    wider_low, wider_high = interval(*pair, smoothing=smoothing, level=0.95)
    assert wider_low <= low
    assert high <= wider_high
    many = interval(pair[0] * 100, pair[1] * 100, smoothing=smoothing, level=0.8)
    assert many[1] - many[0] < high - low


@pytest.mark.parametrize(("concentration", "at_least"), [(0.1, 0.9), (0.5, 0.8)])
def test_interval_covers_as_its_docstring_says(concentration: float, at_least: float) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        p = rng.dirichlet([concentration] * 6)
        q = p if rng.random() < 0.3 else rng.dirichlet([concentration] * 6)
        low, high = interval(rng.multinomial(8, p), rng.multinomial(8, q), smoothing=0.05, level=0.9)
        held += low - 1e-12 <= skew_kl(p, q, 0.05) <= high + 1e-12
    assert held / 400 >= at_least


@given(CLASSES, CLASSES)
def test_answer_counts_are_aligned(student: list[str], teacher: list[str]) -> None:
    tried, taught = answer_counts(student, teacher)
    names = sorted({*student, *teacher})
    assert tried.tolist() == [student.count(name) for name in names]
    assert taught.tolist() == [teacher.count(name) for name in names]
    assert tried.dtype == taught.dtype == np.int64


@given(CLASSES, st.randoms(use_true_random=False))
def test_majority_does_not_depend_on_the_order(classes: list[str], random: object) -> None:
    shuffled = list(classes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert majority(shuffled) == majority(classes)


def test_majority_and_consistency() -> None:
    assert majority(["b", "a", "b", "a", "c"]) == "a"
    assert consistency(["b", "a", "b", "b"]) == 0.75
    assert consistency(["a"]) == 1.0


def test_no_answer_never_is_the_majority_answer() -> None:
    silent = UNANSWERED + "no_answer"
    assert majority([silent, silent, "7"]) == "7"
    assert consistency([silent, silent, "7"]) == pytest.approx(1 / 3)
    assert consistency([silent, silent]) == 0.0


ROLLOUT = Rollout("p", "v", "s", 0, 1, "Answer: 12", RolloutStatus.ANSWERED, "12", "12", 3)


def test_answer_class_of_an_answer_is_its_canonical_form() -> None:
    assert answer_class(ROLLOUT) == "12"


@pytest.mark.parametrize("status", [RolloutStatus.NO_ANSWER, RolloutStatus.TRUNCATED])
def test_answer_class_of_no_answer_is_one_that_no_answer_can_have(status: RolloutStatus) -> None:
    name = answer_class(replace(ROLLOUT, status=status, answer=None, canonical=None))
    assert name == f"\x00{status}"
    assert canonical(name) != name


def test_score_assembles_everything() -> None:
    row = score("p", "s1", "t1", ["3", "3", "4", "5"], ["3"] * 6 + ["4"] * 2, smoothing=0.05)
    counts = np.array([2, 1, 1]), np.array([6, 2, 0])
    assert (row.prompt_id, row.student, row.teacher) == ("p", "s1", "t1")
    assert row.delta == reverse_kl(*counts, smoothing=0.05)
    assert (row.low, row.high) == interval(*counts, smoothing=0.05, level=0.9)
    assert (row.num_student, row.num_teacher) == (4, 8)
    assert (row.estimator, dict(row.settings)) == ("reverse_kl", {"smoothing": 0.05, "level": 0.9})
    assert (row.zero_delta, row.consistency, row.student_agreement) == (False, 0.75, 0.5)


def test_score_of_two_silent_models_is_zero_delta_and_inconsistent() -> None:
    silent = [UNANSWERED + "truncated"] * 4
    row = score("p", "s1", "t1", silent, silent, smoothing=0.05)
    assert (row.zero_delta, row.delta, row.consistency, row.student_agreement) == (True, 0.0, 0.0, 0.0)


def test_score_tells_silence_from_truncation() -> None:
    row = score("p", "s1", "t1", [UNANSWERED + "truncated"], [UNANSWERED + "no_answer"], smoothing=0.05)
    assert not row.zero_delta
