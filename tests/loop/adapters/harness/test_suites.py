"""A harness's tasks are suites like any other: asked by prompts, scored by question, kept with what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loop.adapters.harness.suites import HarnessEvaluator
from loop.adapters.suites import SuiteEvaluator
from loop.config import Evaluation, Sampling
from store.blobs import FileBlobs
from store.errors import HarnessFailed
from store.records import HarnessScore, Prompt, Role, Version
from tests.fakes import QuietProgress, Scripted

pytestmark = pytest.mark.usefixtures("fake_harness")
VERSION = Version("v" * 64, Role.STUDENT, "embedded:student")


def summing(prompt: Prompt) -> str:
    """Right, with a rationale."""
    a, b = (int(word) for word in prompt.question.replace("?", "").split() if word.isdigit())
    return f"That is {a} and {b}. Answer: {a + b}."


def prompts_of(answers: Scripted) -> list[Prompt]:
    return [prompt for batch in answers.batches for prompt in batch]


def evaluator(folder: Path, answers: Scripted, **changes: object) -> HarnessEvaluator:
    keys = {"main": (), "beside": (), "harness": "lmms-eval", "tasks": ("arithmetic",)} | changes
    evaluation = Evaluation.model_validate(keys)
    blobs, sampling = FileBlobs(folder / "blobs"), Sampling(max_tokens=8)
    own = SuiteEvaluator(answers, blobs, sampling=sampling, evaluation=evaluation.own(), image_distance=0)
    return HarnessEvaluator(own, answers, blobs, sampling=sampling, evaluation=evaluation, work_dir=folder / "work")


def test_the_final_answer_is_scored_and_the_harness_is_quoted(tmp_path: Path) -> None:
    answers = Scripted(summing)
    report = evaluator(tmp_path, answers).evaluate(VERSION, "arithmetic", QuietProgress())
    assert (report.suite, report.metric) == ("arithmetic", "right")
    assert report.prompt_ids == ("0", "1", "2")
    assert report.values == (1.0, 1.0, 1.0)
    assert report.accuracy == 1.0
    assert report.harness is not None
    assert (report.harness.harness, report.harness.harness_version) == ("lmms-eval", "0.7.3")
    assert report.harness.scores == (HarnessScore("right", 1.0, 0.25),)
    rows = FileBlobs(tmp_path / "blobs").get(report.harness.samples).decode().splitlines()
    assert [json.loads(row)["response"] for row in rows] == ["2", "4", "2"]


def test_questions_become_prompts_with_images_and_room_to_reason(tmp_path: Path) -> None:
    answers = Scripted(summing)
    evaluator(tmp_path, answers).evaluate(VERSION, "arithmetic", QuietProgress())
    assert [prompt.question for prompt in prompts_of(answers)] == [
        "How much is 1 + 1?",
        "How much is 2 + 2?",  # without the image token
        "How much is 1 + 1?",  # another prompt: it has no picture
    ]
    assert [len(prompt.images) for prompt in prompts_of(answers)] == [1, 0, 0]
    ((_, settings),) = answers.settings
    assert (settings.temperature, settings.max_tokens) == (0.0, 16)


@pytest.mark.parametrize(("response", "truncated"), [("text", False), ("answer", True)])
def test_the_whole_text_is_scored_if_wanted_or_if_it_was_cut_off(
    tmp_path: Path, response: str, truncated: bool
) -> None:
    answers = Scripted(summing, truncated=truncated)
    report = evaluator(tmp_path, answers, response=response).evaluate(VERSION, "arithmetic", QuietProgress())
    assert report.values == (0.0, 0.0, 0.0)


def test_a_response_without_a_final_answer_is_scored_without_its_thinking(tmp_path: Path) -> None:
    report = evaluator(tmp_path, Scripted(lambda prompt: "Is it 3?</think>\n2")).evaluate(
        VERSION, "arithmetic", QuietProgress()
    )
    assert report.values == (1.0, 0.0, 1.0)


def test_a_round_takes_the_first_questions_and_the_whole_takes_all(tmp_path: Path) -> None:
    evaluated = evaluator(tmp_path, Scripted(summing), questions=2)
    assert evaluated.suites(whole=False) == ("arithmetic",)
    assert evaluated.suites(whole=True) == ("arithmetic_whole",)
    assert len(evaluated.evaluate(VERSION, "arithmetic", QuietProgress()).values) == 2
    assert len(evaluated.evaluate(VERSION, "arithmetic_whole", QuietProgress()).values) == 3


def test_our_own_suites_come_first_and_are_asked_as_ever(tmp_path: Path) -> None:
    answers = Scripted(lambda prompt: "Answer: yes")
    evaluated = evaluator(tmp_path, answers, main=("chart", "arithmetic"), questions=4)
    assert evaluated.suites(whole=False) == ("chart", "arithmetic")
    report = evaluated.evaluate(VERSION, "chart", QuietProgress())
    assert (report.suite, len(report.values), report.harness) == ("chart", 4, None)
    assert evaluated.contaminated(prompts_of(answers)[0]) == prompts_of(answers)[0].id


def test_a_task_without_scores_of_questions_is_shown_but_decides_nothing(tmp_path: Path) -> None:
    beside = evaluator(tmp_path, Scripted(summing), tasks=("hopeless",))
    report = beside.evaluate(VERSION, "hopeless", QuietProgress())
    assert (report.values, report.accuracy) == ((), 1.0)
    deciding = evaluator(tmp_path, Scripted(summing), tasks=("hopeless",), main=("hopeless",))
    with pytest.raises(HarnessFailed, match=r"'hopeless' scores no single question.*evaluation\.main"):
        deciding.evaluate(VERSION, "hopeless", QuietProgress())


def test_a_task_that_scores_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessFailed, match="gives no score here"):
        evaluator(tmp_path, Scripted(summing), tasks=("submission",)).evaluate(VERSION, "submission", QuietProgress())
