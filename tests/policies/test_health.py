"""Which bound of a training's health is crossed, and by which value."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loop.training_settings import Health
from policies.health import find_alarm
from store.records import TrainedStep

BOUNDS = Health().bounds()
FIRST = TrainedStep(
    10, 0.5, 1.0, 1e-4, 10.0, 0.1, repetition=0.05, entropy=1.0, support_share=0.9, divergence_quarters=(0.5,) * 4
)


@pytest.mark.parametrize(
    ("bound", "changes", "what"),
    [
        ("max_length_ratio", {"response_tokens": 41.0}, "responses are 41 tokens long, and 10 in the first steps"),
        ("max_truncated_rise", {"truncated_share": 0.8}, "the share of truncated responses is 0.8"),
        ("max_repetition_rise", {"repetition": 0.6}, "the share of repeated sequences is 0.6"),
        ("min_entropy_ratio", {"entropy": 0.009}, "the student's entropy is 0.009 nats per token"),
        ("max_support_fall", {"support_share": 0.3}, "the share of tokens on the teacher's support is 0.3"),
        ("max_divergence_rise", {"divergence_quarters": (0.5, 0.5, 5.6, 0.5)}, "quarter 3 of the responses"),
        ("max_grad_norm_ratio", {"grad_norm": 1001.0}, "the gradient's norm is 1e+03"),
    ],
)
def test_each_bound_is_named_when_it_is_crossed(bound: str, changes: dict[str, float], what: str) -> None:
    ill = replace(FIRST, step=20, **changes)
    alarm = find_alarm([FIRST, ill], BOUNDS)
    assert alarm is not None
    assert alarm.startswith("step 20: ")
    assert what in alarm
    assert f"training.health.{bound}" in alarm
    assert find_alarm([FIRST, ill, replace(FIRST, step=30)], BOUNDS) is None, "only the last step is judged"


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_a_number_is_an_alarm_at_once(norm: float) -> None:
    alarm = find_alarm([replace(FIRST, grad_norm=norm)], BOUNDS)
    assert alarm is not None
    assert "lower training.learning_rate" in alarm


@given(
    st.builds(
        TrainedStep,
        step=st.integers(1, 100),
        loss=st.floats(0, 10),
        grad_norm=st.floats(0, 1e6),
        learning_rate=st.floats(0, 1),
        response_tokens=st.floats(0, 1e4),
        truncated_share=st.floats(0, 1),
        repetition=st.floats(0, 1),
        entropy=st.floats(0, 10),
        support_share=st.floats(0, 1),
        divergence_quarters=st.tuples(*[st.floats(-1, 50)] * 4),
    )
)
def test_a_training_that_stays_as_it_began_is_well(step: TrainedStep) -> None:
    assert find_alarm([step, step], BOUNDS) is None
