"""When a campaign ends early."""

from __future__ import annotations

import pytest

from policies.stopping import why_stop


@pytest.mark.parametrize(
    "promotions", [[], [False], [False, False], [True, False, False], [False, False, True], [False] * 5 + [True]]
)
def test_it_goes_on(promotions: list[bool]) -> None:
    assert why_stop(promotions, 0.3, patience=3, min_delta_share=0.02) is None


@pytest.mark.parametrize("promotions", [[False] * 3, [True, False, False, False]])
def test_it_stops_when_nothing_is_learned(promotions: list[bool]) -> None:
    assert why_stop(promotions, 0.3, patience=3, min_delta_share=0.02) == "no promotion in the last 3 rounds"


def test_it_stops_when_the_pool_is_exhausted_even_after_a_promotion() -> None:
    reason = why_stop([True], 0.015, patience=3, min_delta_share=0.02)
    assert reason == "the pool is exhausted: 1.5% of its prompts still differ, less than 2.0%"


def test_a_share_at_the_threshold_goes_on() -> None:
    assert why_stop([True], 0.02, patience=3, min_delta_share=0.02) is None
