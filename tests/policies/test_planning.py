"""A plan is arithmetic: small numbers by hand, and how costs must move with what is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.planning import Asked, Cost, Lengths, Rates, Shares, Sizes, Speed, Speeds, plan

ASKED = Asked(
    rounds=2,
    pool=100,
    teacher_samples=4,
    student_samples=2,
    adaptive=None,
    reporting_samples=2,
    reported_chosen=0.5,
    reported_pool=0.1,
    candidates=20,
    replies=0,
    chosen=40,
    all_eligible=False,
    responses=32,
    token_budget=None,
    questions=30,
    closing_questions=50,
)
RATES = Rates(
    Shares(parsed=0.5, admitted=0.5, differing=0.25),
    Lengths(teacher=10, student=5, differing=20, train=30, generator=100),
    Speeds(Speed(0, 1, 0.1), Speed(0, 2, 0.2), Speed(7, 3, 0.3), Speed(0, 0.01, 0)),
    Sizes(rollout=100, prompt=10, score=1, answer=1, checkpoint=1000),
)


def test_a_campaign_of_two_rounds_by_hand() -> None:
    found = plan(ASKED, RATES)
    assert found.pools == (100, 100, 105)
    # round 1: the pool, 10 parsed candidates, and reports on 15 of 30 chosen prompts and on 10 of the pool
    assert found.rounds[1].teacher_samples == 100 * 4 + 10 * 4 + 25 * 2
    assert found.rounds[1].student_samples == 100 * 2 + 10 * 2 + 25 * 2
    assert found.rounds[1].teacher_tokens == 400 * 10 + 40 * 20 + 15 * 2 * 20 + 10 * 2 * 10
    # round 2: the teacher knows the pool already, the new student does not
    assert found.rounds[2].teacher_samples == pytest.approx(10 * 4 + (0.5 * 31.25 + 10.5) * 2)
    assert [cost.train_tokens for cost in found.rounds] == [0, 960, 960]
    assert [cost.answers for cost in found.rounds] == [60, 30, 80]
    assert found.total == Cost.total(found.rounds)


def test_seconds_are_of_prompts_and_tokens() -> None:
    only = replace(ASKED, rounds=1, candidates=0, reporting_samples=0, questions=0, closing_questions=0)
    found = plan(only, RATES).rounds[1]
    teacher, student, train = 100 * 1 + 4000 * 0.1, 100 * 2 + 1000 * 0.2, 7 + 32 * 3 + 960 * 0.3
    assert found.device_s == pytest.approx(teacher + student + train + 100 * 0.01)


def test_a_budget_of_tokens_ends_training_earlier() -> None:
    found = plan(replace(ASKED, token_budget=480), RATES).rounds[1]
    assert found.train_tokens == 480
    assert found.device_s < plan(ASKED, RATES).rounds[1].device_s


def test_adaptive_scoring_spends_its_allowance_reports_included() -> None:
    found = plan(replace(ASKED, rounds=1, candidates=0, adaptive=0.6), RATES).rounds[1]
    reports = 2 * (0.5 * 25 + 10)
    assert found.student_samples == pytest.approx(0.6 * 200 - 2 * reports + reports)


@given(
    pool=st.integers(1, 10**7), candidates=st.integers(0, 10**6), rounds=st.integers(0, 20), share=st.floats(0.01, 1)
)
def test_more_never_costs_less(pool: int, candidates: int, rounds: int, share: float) -> None:
    asked = replace(ASKED, pool=pool, candidates=candidates, rounds=rounds, adaptive=share)
    cost = plan(asked, RATES).total
    for more in ({"pool": 2 * pool}, {"candidates": candidates + 1}, {"rounds": rounds + 1}):
        other = plan(replace(asked, **more), RATES).total
        assert other.teacher_samples + other.student_samples >= cost.teacher_samples + cost.student_samples
        assert other.device_s >= cost.device_s >= 0
        assert other.storage_bytes >= cost.storage_bytes
