"""Adaptive scoring: budgets hold, waves replay, every prompt has its turn, and what is chosen is worth choosing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.adaptive import Settings, plan_reports, plan_wave
from policies.beliefs import Evidence, posterior

SMOOTHING = 0.05
Shares = NDArray[np.float64]


def world(num: int, rng: np.random.Generator) -> tuple[Shares, Shares]:
    """Student's and teacher's distributions over two answers: three of four prompts alike, the others apart."""
    right = np.where(np.arange(num) % 4 == 0, rng.uniform(0.0, 0.9, num), 0.95)
    return np.column_stack([right, 1 - right]), np.tile([0.95, 0.05], (num, 1))


def evidence_of(teacher: NDArray[np.int64], **changes: object) -> Evidence:
    num = len(teacher)
    start = Evidence(
        student=np.zeros_like(teacher),
        teacher=teacher,
        last=np.full((num, 3), np.nan),
        idle=np.full(num, 1_000),
        neighbours=np.zeros((num, 0), dtype=np.int64),
        eligible=np.ones(num, dtype=np.bool_),
        cost=np.ones(num),
        report_cost=np.full(num, 4.0),
    )
    return replace(start, **changes)  # type: ignore[arg-type]


def run_waves(
    student: Shares, evidence: Evidence, wanted: Settings, *, first_wave: int = 0, stop_before: int = 1_000
) -> Evidence:
    """Draw what each wave asks for; the draws of a prompt depend on how many it had, as the ledger's do."""
    for wave in range(first_wave, stop_before):
        more = plan_wave(evidence, wanted, np.random.default_rng([7, wave]))
        if not more.any():
            break
        counts = evidence.student.copy()
        for row in np.flatnonzero(more).tolist():
            for index in range(int(counts[row].sum()), int(counts[row].sum() + more[row])):
                answer = np.random.default_rng([row, index]).random() > student[row, 0]
                counts[row, int(answer)] += 1
        evidence = replace(evidence, student=counts)
    return evidence


@given(
    num=st.integers(1, 40),
    budget=st.floats(0, 300),
    first=st.integers(1, 3),
    seed=st.integers(0, 99),
    size=st.integers(0, 50),
)
@settings(max_examples=40, deadline=None)
def test_the_budget_is_never_exceeded(num: int, budget: float, first: int, seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    student, _ = world(num, rng)
    costs = rng.uniform(0.5, 3, num)
    begun = evidence_of(rng.multinomial(8, [0.9, 0.1], size=num), cost=costs)
    done = run_waves(student, begun, Settings(budget, size, first=first))
    assert done.spent <= budget + 1e-6
    assert done.student.sum(axis=1).max() <= 16
    chosen, pool, left = np.arange(min(size, num)), np.arange(num), budget - done.spent
    told = plan_reports(chosen, pool, done.report_cost, rng, reported_chosen=0.5, reported_pool=0.1, left=left)
    both = np.union1d(told.chosen, told.pool).astype(int)
    assert done.spent + done.report_cost[both].sum() <= budget + 1e-6


def test_an_interrupted_stage_replays_to_the_same_samples() -> None:
    student, teacher = world(200, np.random.default_rng(0))
    begun = evidence_of(np.random.default_rng(1).multinomial(16, teacher[0], size=200))
    wanted = Settings(budget=900, train_size=20)
    whole = run_waves(student, begun, wanted)
    for stop in (1, 2, 5):
        part = run_waves(student, begun, wanted, stop_before=stop)
        assert 0 < part.student.sum() < whole.student.sum()
        again = run_waves(student, part, wanted, first_wave=stop)
        assert np.array_equal(again.student, whole.student)


def test_where_all_prompts_are_alike_the_search_ends_early() -> None:
    num = 1_000
    alike = np.tile([0.98, 0.02], (num, 1))
    counts = np.random.default_rng(1).multinomial(16, alike[0], size=num)
    done = run_waves(alike, evidence_of(counts, report_cost=np.zeros(num)), Settings(16.0 * num, 100))
    assert done.student.sum() < 8 * num
    assert posterior(done, SMOOTHING).mean.mean() < 0.05


def test_every_prompt_is_sampled_within_the_stated_number_of_rounds() -> None:
    num, revisit = 300, 3
    student, teacher = world(num, np.random.default_rng(0))
    idle = np.full(num, 1_000)
    last = np.full((num, 3), np.nan)
    counts = np.random.default_rng(1).multinomial(16, teacher[0], size=num)
    since = np.zeros(num, dtype=int)
    for round in range(8):
        done = run_waves(student, evidence_of(counts, idle=idle, last=last), Settings(1_500, 30, revisit=revisit))
        sampled = done.student.any(axis=1)
        since = np.where(sampled, 0, since + 1)
        assert since.max() < revisit, f"a prompt went without for {revisit} rounds, at round {round}"
        idle = since + 1
        last = posterior(done, SMOOTHING).summary


def test_samples_go_to_prompts_near_the_cut_and_the_choice_beats_equally_many_everywhere() -> None:
    num, size = 1_000, 100
    student, teacher = world(num, np.random.default_rng(0))
    counts = np.random.default_rng(1).multinomial(16, teacher[0], size=num)
    done = run_waves(student, evidence_of(counts, report_cost=np.zeros(num)), Settings(3_000, size))
    drawn = done.student.sum(axis=1)
    apart = np.arange(num) % 4 == 0
    assert drawn[apart].mean() > 2 * drawn[~apart].mean()
    truth = 1 - student[:, 0]
    mixed = 0.95 * (1 - teacher[:, 0]) + 0.05 * truth
    delta = truth * np.log(truth / mixed) + (1 - truth) * np.log((1 - truth) / (1 - mixed))
    chosen = np.argsort(-posterior(done, SMOOTHING).mean, kind="stable")[:size]

    def by_equal_samples(each: int) -> float:
        wrong = np.array([np.random.default_rng([row, 1]).binomial(each, truth[row]) for row in range(num)])
        return float(delta[np.argsort(-wrong, kind="stable")[:size]].mean())

    assert done.student.sum() <= 3 * num
    assert delta[chosen].mean() > 1.05 * by_equal_samples(3)
    assert delta[chosen].mean() > 0.9 * by_equal_samples(16)


def test_the_last_round_is_a_prior_and_a_prompt_without_samples_is_predicted() -> None:
    num = 400
    counts = np.random.default_rng(1).multinomial(16, [0.95, 0.05], size=num)
    last = np.tile([0.0, 0.01, 0.99], (num, 1))
    last[:50] = [2.0, 0.3, 0.01]
    student = np.zeros_like(counts)
    student[25:50, 1] = 2
    student[50:300, 0] = 2
    belief = posterior(evidence_of(counts, last=last, student=student, idle=np.ones(num, dtype=int)), SMOOTHING)
    assert belief.predicted.sum() == 25 + 100
    assert belief.mean[:25].mean() > 5 * belief.mean[300:].mean()


@pytest.mark.parametrize(
    "teacher",
    [
        np.zeros((3, 2), dtype=np.int64),
        np.array([[16, 0], [0, 0], [8, 8]]),
        np.eye(1, 3_000, dtype=np.int64),
        np.zeros((0, 2), dtype=np.int64),
        np.ones((2, 64), dtype=np.int64),
    ],
)
def test_hostile_evidence_gives_finite_beliefs_and_no_samples_where_nothing_could_be_compared(
    teacher: NDArray[np.int64],
) -> None:
    evidence = evidence_of(teacher)
    more = plan_wave(evidence, Settings(budget=100, train_size=1), np.random.default_rng(0))
    assert not more[~teacher.any(axis=1)].any()
    student = np.zeros_like(teacher)
    student[np.flatnonzero(more), -1] = 1
    belief = posterior(replace(evidence, student=student), SMOOTHING)
    low, high = belief.interval(0.9)
    assert np.isfinite(belief.summary).all()
    assert (low <= belief.mean).all()
    assert (belief.mean <= high).all()


def test_no_budget_means_no_samples() -> None:
    evidence = evidence_of(np.full((5, 2), 8))
    assert not plan_wave(evidence, Settings(budget=0, train_size=2), np.random.default_rng(0)).any()
