"""What the driver takes from lmms-eval's results: scores, questions, and the reason of a failure."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from loop.adapters.harness import driver


class Manager:
    """Stands in for lmms-eval's index of tasks, and remembers how often its own were looked through."""

    looked_through: ClassVar[list[str | None]] = []

    def __init__(self, verbosity: str, *, include_path: str | None = None, include_defaults: bool = True) -> None:
        ours = ["receipts"] if include_path else []
        if include_defaults:
            self.looked_through.append(include_path)
        self.all_tasks = ours + (["chartqa", "chartqapro", "vqav2"] if include_defaults else [])


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> type[Manager]:
    module = ModuleType("lmms_eval.tasks")
    module.TaskManager = Manager  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lmms_eval", ModuleType("lmms_eval"))
    monkeypatch.setitem(sys.modules, "lmms_eval.tasks", module)
    monkeypatch.setattr(driver, "version", lambda name: "0.7.3")
    monkeypatch.setattr(Manager, "looked_through", [])
    return Manager


def test_our_own_task_is_found_without_looking_through_all(tasks: type[Manager]) -> None:
    assert driver._manager("receipts", "folder").all_tasks == ["receipts"]
    assert tasks.looked_through == []
    assert "receipts" in driver._manager("chartqa", "folder").all_tasks
    assert tasks.looked_through == ["folder"]


@pytest.mark.usefixtures("tasks")
def test_an_unknown_task_is_refused_with_those_near_it() -> None:
    with pytest.raises(driver.Refused, match=r"lmms-eval 0\.7\.3 has no task 'chartqapr'") as refused:
        driver._manager("chartqapr", None)
    assert refused.value.told["kind"] == "unknown"
    assert refused.value.told["near"] == ["chartqapro", "chartqa"]


def row(**metrics: Any) -> dict[str, Any]:
    return {"doc_id": 0, "doc": {}, "target": "2", "filtered_resps": ["two"], "doc_hash": "x"} | metrics


def test_scores_come_with_their_stderr_in_the_harness_order() -> None:
    results = {
        "chartqa": {
            "alias": "chartqa",
            "relaxed_overall,none": np.float64(0.5),
            "relaxed_overall_stderr,none": 0.1,
            "relaxed_overall_stderr_clt,none": 0.2,
            "average,none": 0.25,
            "average_stderr,none": "N/A",
            "average_stderr_clt,none": 0.3,
            "submission,none": None,
            "odd,none": float("nan"),
            "exact_match,flexible": 1,
            "exact_match_stderr,flexible": "N/A",
        }
    }
    assert list(driver._scores("chartqa", results, ["chartqa"])) == [
        {"metric": "relaxed_overall", "value": 0.5, "stderr": 0.1},
        {"metric": "average", "value": 0.25, "stderr": 0.3},
        {"metric": "exact_match,flexible", "value": 1.0, "stderr": None},
    ]


def test_the_scores_of_a_group_are_named_by_their_task() -> None:
    results = {"a": {"acc,none": 0.5}, "b": {"acc,none": 1.0}, "group": {"acc,none": 0.75}}
    told = [(score["metric"], score["value"]) for score in driver._scores("group", results, ["a", "b"])]
    assert told == [("acc", 0.75), ("a/acc", 0.5), ("b/acc", 1.0)]


@pytest.mark.parametrize(
    ("value", "score"),
    [
        (0.5, 0.5),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        ({"score": 1, "question_id": 3}, 1.0),
        ({"pred": "A", "answer": "B"}, None),
        ("0.5", None),
        (None, None),
        (float("nan"), None),
        ([1.0, 2.0], None),
    ],
)
def test_a_question_has_the_scores_that_are_numbers(value: Any, score: float | None) -> None:
    asked = driver._question("task", row(acc=value), whole=True)
    assert asked == {
        "id": "0",
        "target": "2",
        "response": "two",
        "scores": {} if score is None else {"acc": score},
    }


def test_questions_of_a_group_are_named_by_their_task_and_counted_once() -> None:
    rows = [row(acc=1.0), row(acc=0.0), row(acc=1.0) | {"doc_id": 1}]
    kept = [driver._question("task", one, whole=False) for one in driver._once(rows)]
    assert [question["id"] for question in kept] == ["task/0", "task/1"]


def test_the_metric_of_all_questions_is_the_first_that_scores_each() -> None:
    def asked(*scores: dict[str, float]) -> list[dict[str, Any]]:
        return [{"scores": one} for one in scores]

    assert driver._metric_of_all(asked({"human": 1, "overall": 1}, {"augmented": 0, "overall": 0})) == "overall"
    assert driver._metric_of_all(asked({"b": 1, "a": 1}, {"a": 0, "b": 0})) == "b"
    assert driver._metric_of_all(asked({"a": 1}, {"b": 1})) is None


def test_an_unreached_hub_is_told_from_a_crash() -> None:
    class OfflineModeIsEnabled(Exception): ...

    wrapped = ValueError("not loaded")
    wrapped.__cause__ = OfflineModeIsEnabled("no")
    assert driver._kind(wrapped) == "hub"
    assert driver._kind(KeyError("image")) == "crash"
    looped = ValueError("loop")
    looped.__context__ = KeyError("a")
    looped.__context__.__context__ = looped
    assert driver._kind(looped) == "crash"
