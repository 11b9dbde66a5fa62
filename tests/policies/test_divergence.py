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
    aligned_counts,
    answer_class,
    class_codes,
    consistency,
    majority,
    predicted_score,
    reported,
    score_all,
)
from policies.estimators import estimate, plug_in
from policies.tables import tables_of_counts
from policies.zero_delta import plug_in_zero
from store.records import Rollout, RolloutStatus, Score

Pair = tuple[NDArray[np.int64], NDArray[np.int64]]

SMOOTHINGS = st.sampled_from([0.01, 0.05, 0.3])
COUNTS = st.integers(1, 5).flatmap(lambda k: st.lists(st.integers(0, 9), min_size=k, max_size=k)).filter(any)
PAIRS = st.integers(1, 5).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 9), min_size=k, max_size=k).filter(any).map(np.array)] * 2)
)
CLASSES = st.lists(st.sampled_from(["1", "2", "3", UNANSWERED + "no_answer"]), min_size=1, max_size=9)


def reverse_kl(student: NDArray[np.int64], teacher: NDArray[np.int64], *, smoothing: float) -> float:
    return float(plug_in(tables_of_counts(student[None], teacher[None]), smoothing)[0, 0])


def is_zero_delta(student: NDArray[np.int64], teacher: NDArray[np.int64]) -> bool:
    return bool(plug_in_zero(tables_of_counts(student[None], teacher[None]))[0])


def score(student: list[str], teacher: list[str]) -> Score:
    (row,) = score_all(["p"], ("s1", "t1"), [student], [teacher], smoothing=0.05, false_share=0.05)
    return row


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


@given(st.lists(st.tuples(CLASSES, CLASSES), min_size=1, max_size=4))
def test_codes_and_counts_say_what_the_classes_say(pairs: list[tuple[list[str], list[str]]]) -> None:
    student, teacher = [list(side) for side in zip(*pairs, strict=True)]
    codes, counts = class_codes(student, teacher), aligned_counts(student, teacher)
    for row, both in enumerate(pairs):
        names = both[0] + both[1]
        own = [int(code) for side in codes for code in side[row] if code >= 0]
        assert [own[i] == own[j] for i in range(len(own)) for j in range(i)] == [
            names[i] == names[j] for i in range(len(names)) for j in range(i)
        ]
        seen = [(int(x), int(y)) for x, y in zip(counts[0][row], counts[1][row], strict=True) if x or y]
        assert sorted(seen) == sorted((both[0].count(name), both[1].count(name)) for name in set(names))


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
    row = score(["3", "3", "4", "5"], ["3"] * 6 + ["4"] * 2)
    counts = np.array([2, 1, 1]), np.array([6, 2, 0])
    assert (row.prompt_id, row.student, row.teacher) == ("p", "s1", "t1")
    assert row.delta == reverse_kl(*counts, smoothing=0.05)
    found = estimate(tables_of_counts(counts[0][None], counts[1][None]), smoothing=0.05, level=0.9)
    assert (row.low, row.high) == (found.reverse_kl.low[0], found.reverse_kl.high[0])
    assert row.p_value == found.p_value[0]
    assert 0 <= row.low < row.high <= math.log(20)
    assert (row.num_student, row.num_teacher) == (4, 8)
    assert (row.estimator, row.settings["smoothing"]) == ("reverse_kl", 0.05)
    assert (row.zero_delta, row.consistency, row.student_agreement) == (False, 0.75, 0.5)
    assert (row.differs, row.predicted) == (False, False)
    assert row.noise_floor == reverse_kl(np.array([4, 0]), np.array([2, 2]), smoothing=0.05)


def test_who_differs_is_decided_over_the_pool() -> None:
    alike, apart = (["1"] * 8, ["1"] * 8), (["1"] * 8, ["2"] * 8)
    alone = score_all(["p"], ("s", "t"), [apart[0]], [apart[1]], smoothing=0.05, false_share=0.001)
    assert alone[0].differs
    pairs = [apart, *[alike] * 99]
    rows = score_all(
        [str(n) for n in range(100)],
        ("s", "t"),
        [pair[0] for pair in pairs],
        [pair[1] for pair in pairs],
        smoothing=0.05,
        false_share=0.001,
    )
    assert not any(row.differs for row in rows)


def test_score_of_two_silent_models_is_zero_delta_and_inconsistent() -> None:
    silent = [UNANSWERED + "truncated"] * 4
    row = score(silent, silent)
    assert (row.zero_delta, row.delta, row.consistency, row.student_agreement) == (True, 0.0, 0.0, 0.0)


def test_score_tells_silence_from_truncation() -> None:
    assert not score([UNANSWERED + "truncated"], [UNANSWERED + "no_answer"]).zero_delta


def test_no_prompts_have_no_scores_and_one_sample_a_side_is_enough() -> None:
    assert score_all([], ("s", "t"), [], [], smoothing=0.05, false_share=0.05) == ()
    assert score(["1"], ["2"]).noise_floor is None


def test_a_predicted_score_says_so() -> None:
    row = predicted_score("p", ("s", "t"), ["1", "1", "2"], 0.7)
    assert (row.predicted, row.num_student, row.num_teacher, row.delta) == (True, 0, 3, 0.7)
    assert row.p_value is row.differs is None


def test_reported_is_a_mean_over_prompts_with_its_interval() -> None:
    found = reported([["1", "1"], ["1", "2"], ["3", "3"]], [["1", "1"], ["1", "1"], ["4", "4"]], smoothing=0.05)
    values = [0.0, reverse_kl(np.array([1, 1]), np.array([2, 0]), smoothing=0.05), math.log(20)]
    assert (found.prompts, found.samples) == (3, 2)
    assert found.delta == pytest.approx(np.mean(values))
    assert 0 <= found.low < found.delta < found.high
    assert found.squared_distance == pytest.approx((0 + 0 + 2) / 3)
