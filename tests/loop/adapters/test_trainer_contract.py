"""What every trainer does, whatever computes its steps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from loop.adapters.models import Models
from loop.adapters.trainer import DistillingTrainer
from loop.adapters.trl_trainer import TrlTrainer
from loop.config import CampaignSettings
from loop.ports import Trainer, TrainingJob
from loop.training_settings import Hardware, Health, Lora, Training
from store.blobs import FileBlobs
from store.checkpoints import folder_digest
from store.errors import EmptyTrainingSet, ModelUnusable, UsageError
from store.records import Prompt, Version
from tests.tiny_models import WORDS, make_prompts, version_of, write_byte_model, write_model, write_text_model
from tests.trainings import SHORT, Interrupted, Steps, train

Pair = tuple[Version, Version]
STEADY = SHORT.model_copy(update={"health": Health(max_truncated_rise=1.0)})
"""The tiny teacher seldom ends a response: TRL's draws may teach that within six steps."""


@pytest.fixture(params=[DistillingTrainer, TrlTrainer])
def trainer(request: pytest.FixtureRequest, models: Models) -> Trainer:
    made: Trainer = request.param(models)
    return made


def test_training_brings_the_student_closer_to_the_teacher(
    trainer: Trainer, models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    settings = STEADY.model_copy(update={"steps": 20, "learning_rate": 5e-3, "checkpoint_steps": 10})
    steps = Steps()
    run = train(models, pair, make_prompts(4, blobs), tmp_path / "work", settings, steps, trainer)
    losses = [step.loss for step in run.history]
    assert [step.step for step in run.history] == [10, 20]
    assert losses[-1] < 0.7 * losses[0]
    assert run.steps == steps.done == 20
    assert 20 * 4 <= run.train_tokens <= 20 * 4 * 6
    assert run.train_tokens == pytest.approx(sum(step.response_tokens for step in run.history) * 10 * 4)
    assert all(step.entropy > 0 for step in run.history)
    trained = models.fresh(version_of(run.folder))
    assert trained.model.dtype == torch.float32
    assert trained.model.config.use_cache


def test_off_policy_the_student_learns_to_say_what_the_teacher_said(
    trainer: Trainer, models: Models, blobs: FileBlobs, tmp_path: Path
) -> None:
    """In its own tokens, whatever those of the teacher are; what is longer than `max_tokens` is cut off."""
    student = version_of(write_model(tmp_path / "student", seed=1, sharpness=4))
    teacher = version_of(write_byte_model(tmp_path / "teacher", seed=2))
    prompts = [*make_prompts(3, blobs), *make_prompts(1, blobs, images=False)]
    traces = {prompt.id: ["red thing Answer: two", "red " * 20] for prompt in prompts}
    settings = STEADY.model_copy(
        update={
            "mode": "off_policy",
            "steps": 40,
            "batch": 8,
            "learning_rate": 5e-3,
            "max_tokens": 8,
            "checkpoint_steps": 20,
        }
    )
    job = TrainingJob(student, teacher, prompts, [1.0] * 4, settings, seed=11, traces=traces)
    run = trainer.train(job, work_dir=tmp_path / "work", progress=Steps())
    assert run.history[-1].loss < 0.5 * run.history[0].loss
    assert 5 < run.history[0].response_tokens < 8, "of 5 and of 8 tokens"
    assert 0 < run.history[0].truncated_share < 1


def test_off_policy_both_trainers_take_the_same_steps(
    models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    """The same batches, the same loss, the same schedule: what is left is rounding."""
    prompts = make_prompts(5, blobs)
    traces = {prompt.id: ["red Answer: two", "blue thing"] for prompt in prompts}
    settings = STEADY.model_copy(update={"mode": "off_policy", "hardware": Hardware(accumulation=2)})
    job = TrainingJob(*pair, prompts, [1.0] * 5, settings, seed=11, traces=traces)
    ours, theirs = (
        kind(models).train(job, work_dir=tmp_path / kind.__name__, progress=Steps())
        for kind in (DistillingTrainer, TrlTrainer)
    )
    assert ours.train_tokens == theirs.train_tokens
    for one, other in zip(ours.history, theirs.history, strict=True):
        assert (one.step, one.response_tokens, one.truncated_share) == (
            other.step,
            other.response_tokens,
            other.truncated_share,
        )
        assert other.loss == pytest.approx(one.loss, rel=1e-3)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-2)


def test_an_interrupted_training_goes_on_and_ends_as_an_undisturbed_one(
    trainer: Trainer, models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    prompts = make_prompts(5, blobs)
    whole = train(models, pair, prompts, tmp_path / "whole", STEADY, trainer=trainer)
    with pytest.raises(Interrupted):
        train(models, pair, prompts, tmp_path / "killed", STEADY, steps=Steps(until=5), trainer=trainer)
    (tmp_path / "killed" / "checkpoint-5").mkdir()  # a kill while a checkpoint was being written
    steps = Steps()
    resumed = train(models, pair, prompts, tmp_path / "killed", STEADY, steps=steps, trainer=trainer)
    assert steps.calls[0] == 4, "the steps that the last whole checkpoint held"
    assert folder_digest(resumed.folder) == folder_digest(whole.folder)
    assert (resumed.history, resumed.train_tokens, resumed.steps) == (whole.history, whole.train_tokens, whole.steps)


def test_without_any_whole_checkpoint_a_training_starts_again(
    trainer: Trainer, models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    prompts = make_prompts(5, blobs)
    with pytest.raises(Interrupted):
        train(models, pair, prompts, tmp_path / "killed", STEADY, steps=Steps(until=5), trainer=trainer)
    for checkpoint in (tmp_path / "killed").glob("checkpoint-*"):
        (checkpoint / "model.safetensors").unlink()
    steps = Steps()
    train(models, pair, prompts, tmp_path / "killed", STEADY, steps=steps, trainer=trainer)
    assert steps.calls[:2] == [0, 1]


def test_another_training_in_the_same_folder_starts_afresh(
    trainer: Trainer, models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    prompts = make_prompts(5, blobs)
    settings = STEADY.model_copy(update={"steps": 2})
    expected = train(models, pair, prompts, tmp_path / "fresh", settings, trainer=trainer)
    train(models, pair, prompts[:4], tmp_path / "used", settings, trainer=trainer)
    again = train(models, pair, prompts, tmp_path / "used", settings, trainer=trainer)
    assert folder_digest(again.folder) == folder_digest(expected.folder)


def test_the_folder_does_not_tell_where_the_student_came_from(
    trainer: Trainer, models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    moved = version_of(write_model(tmp_path / "elsewhere", seed=1, sharpness=4))
    assert moved.id == pair[0].id
    settings = STEADY.model_copy(update={"steps": 1})
    runs = [
        train(models, (student, pair[1]), make_prompts(2, blobs), tmp_path / name, settings, trainer=trainer)
        for name, student in (("a", pair[0]), ("b", moved))
    ]
    assert folder_digest(runs[0].folder) == folder_digest(runs[1].folder)


def test_a_model_that_reads_no_images_trains_too(
    trainer: Trainer, models: Models, blobs: FileBlobs, tmp_path: Path
) -> None:
    settings = SHORT.model_copy(update={"steps": 2})
    pair = (version_of(write_text_model(tmp_path / "0", seed=0)), version_of(write_text_model(tmp_path / "1", seed=1)))
    prompts = make_prompts(4, blobs, images=False)
    run = train(models, pair, prompts, tmp_path / "text", settings, trainer=trainer)
    assert version_of(run.folder).id != pair[0].id


def test_prompts_with_and_without_images_train_together_where_that_can_be(
    models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    settings = SHORT.model_copy(update={"steps": 2})
    mixed = [*make_prompts(2, blobs), *make_prompts(2, blobs, images=False)]
    assert train(models, pair, mixed, tmp_path / "mixed", settings).steps == 2
    with pytest.raises(UsageError, match="with and without images together"):
        train(models, pair, mixed, tmp_path / "trl", settings, trainer=TrlTrainer(models))


def test_trl_refuses_prompts_that_differ_in_weight(
    models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    job = TrainingJob(*pair, make_prompts(2, blobs), [1.0, 2.0], SHORT, seed=11)
    with pytest.raises(UsageError, match="these weigh 1 to 2"):
        TrlTrainer(models).train(job, work_dir=tmp_path, progress=Steps())


@pytest.mark.parametrize(
    "changes",
    [
        {"lora": Lora(rank=4, alpha=8), "learning_rate": 1e-2},
        {"hardware": Hardware(accumulation=2, gradient_checkpointing=True, bf16=True)},
    ],
)
def test_an_adapter_or_less_memory_gives_a_whole_student_in_float32(
    trainer: Trainer, models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path, changes: dict[str, Any]
) -> None:
    run = train(models, pair, make_prompts(4, blobs), tmp_path / "w", STEADY.model_copy(update=changes), None, trainer)
    before, after = (models.fresh(version).model.state_dict() for version in (pair[0], version_of(run.folder)))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert {value.dtype for value in after.values()} == {torch.float32}


def test_a_loss_that_turns_into_no_number_keeps_what_was_before_it(
    trainer: Trainer, models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    settings = STEADY.model_copy(update={"learning_rate": 1e30, "checkpoint_steps": 1})  # the first step warms up: 0
    run = train(models, pair, make_prompts(4, blobs), tmp_path / "work", settings, trainer=trainer)
    assert run.alarm.startswith("step 2: ")
    assert run.steps == 1
    weights = models.fresh(version_of(run.folder)).model.state_dict()
    assert all(torch.equal(value, models.fresh(pair[0]).model.state_dict()[name]) for name, value in weights.items())


@pytest.mark.parametrize("bound", ["max_length_ratio", "min_entropy_ratio", "max_grad_norm_ratio"])
def test_a_crossed_bound_ends_a_training_with_its_last_good_checkpoint(
    trainer: Trainer, models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path, bound: str
) -> None:
    far = {"max_length_ratio": 1e9, "max_truncated_rise": 1.0, "min_entropy_ratio": 0.0, "max_grad_norm_ratio": 1e9}
    near = 0.999 if bound.startswith("min") else 1.001
    changes = {"steps": 20, "batch": 8, "learning_rate": 0.3, "max_tokens": 16, "checkpoint_steps": 1}
    unmeasured = {"max_repetition_rise": 1.0, "max_support_fall": 1.0, "max_divergence_rise": 1e9}
    health = Health(**(unmeasured | far | {bound: near}))
    settings = STEADY.model_copy(update=changes | {"health": health})
    run = train(models, pair, make_prompts(4, blobs), tmp_path / "work", settings, trainer=trainer)
    assert f"training.health.{bound}" in run.alarm
    assert 1 <= run.steps < 20
    assert run.history[-1].step == run.steps + 1


def test_nothing_to_train_on_is_refused(trainer: Trainer, models: Models, pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(EmptyTrainingSet):
        train(models, pair, [], tmp_path / "work", trainer=trainer)


def test_a_teacher_with_other_words_is_refused_by_the_first_of_them(
    trainer: Trainer, models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    other = version_of(write_model(tmp_path / "other", seed=2, words=(*WORDS[:-1], "zebra")))
    with pytest.raises(ModelUnusable, match=r"2 tokens, the first is 'thing'.*transfer"):
        train(models, (pair[0], other), make_prompts(2, blobs), tmp_path / "work", trainer=trainer)


def test_prompts_that_leave_no_room_in_the_context_are_left_out(
    trainer: Trainer, models: Models, blobs: FileBlobs, tmp_path: Path, caplog: Any
) -> None:
    pair = (version_of(write_text_model(tmp_path / "0", seed=0)), version_of(write_text_model(tmp_path / "1", seed=1)))
    long = Prompt.make(" ".join(["red"] * 3000))  # the context holds 2,048
    settings = STEADY.model_copy(update={"steps": 1})
    prompts = [*make_prompts(2, blobs, images=False), long]
    assert train(models, pair, prompts, tmp_path / "work", settings, trainer=trainer).steps == 1
    assert "1 of 3 prompts are not trained on" in caplog.text
    with pytest.raises(EmptyTrainingSet, match="longer than the student's context of 2048"):
        train(models, pair, [long], tmp_path / "none", settings, trainer=trainer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token_budget": 5}, "leave the key out"),
        ({"sync_steps": 2}, "set it to 1"),
        ({"loss_temperature": 0.7}, r"set it to training.temperature"),
        ({"health": {"max_support_fall": 0.1}}, "training.health.max_support_fall is not for backend"),
    ],
)
def test_what_trl_cannot_do_is_refused_when_the_file_is_read(changes: dict[str, Any], message: str) -> None:
    Training(backend="trl", temperature=0.7, loss_temperature=0.7)
    with pytest.raises(ValidationError, match=message):
        Training(backend="trl", **changes)


def test_trl_has_no_teacher_behind_an_engine() -> None:
    given = {"name": "x", "engines": {"teacher": {"kind": "vllm"}}, "training": {"backend": "trl"}}
    with pytest.raises(ValidationError, match="needs the teacher in this process"):
        CampaignSettings.model_validate(given)
    given["training"] = {"backend": "trl", "mode": "off_policy"}
    assert CampaignSettings.model_validate(given).training.backend == "trl"


def test_without_trl_the_error_names_the_extra(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(UsageError, match=r"pip install 'deltaloop\[trl\]'"):
        TrlTrainer(models)
