"""What the bench of engines counts as a difference."""

from __future__ import annotations

from scripts.bench_engines import significant_share
from store.records import Prompt, Sample

PROMPTS = [Prompt.make(f"how many dots, picture {number}?") for number in range(20)]


def samples(answers: str, *, truncated: bool = False) -> list[Sample]:
    return [
        Sample(prompt.id, index, index, f"Answer: {answer}", 3, truncated)
        for prompt in PROMPTS
        for index, answer in enumerate(answers)
    ]


def test_the_same_answers_in_another_order_are_no_difference() -> None:
    assert significant_share(samples("11112222"), samples("22112112"), PROMPTS) == 0


def test_other_answers_are_a_difference_on_every_prompt() -> None:
    assert significant_share(samples("11111111"), samples("22222222"), PROMPTS) == 1


def test_being_cut_off_is_a_difference() -> None:
    assert significant_share(samples("11111111"), samples("11111111", truncated=True), PROMPTS) == 1
