"""The benchmark's comparison of accuracies, as small as it can be."""

from __future__ import annotations

import pytest

from scripts.distill_accuracy import compare_accuracy


@pytest.mark.slow
def test_both_trainers_are_evaluated_on_the_same_questions() -> None:
    told = compare_accuracy(1, steps=1, questions=4)
    assert told.keys() == {
        "accuracy_difference",
        "low",
        "high",
        "accuracy_before",
        "accuracy_ours",
        "accuracy_trl",
    }
    assert told["accuracy_difference"] == pytest.approx(told["accuracy_ours"] - told["accuracy_trl"], abs=2e-4)
    assert told["low"] <= told["accuracy_difference"] <= told["high"]
