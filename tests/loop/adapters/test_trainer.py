"""On-policy distillation of tiny random models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from loop.adapters.models import Models
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.trainer import DistillingTrainer
from loop.ports import TrainingJob
from loop.training_settings import Hardware, Training
from store.blobs import FileBlobs
from store.checkpoints import folder_digest
from store.errors import UsageError
from store.records import Prompt, Version
from tests.tiny_models import make_prompts, version_of
from tests.trainings import SHORT, Interrupted, Steps, train

AHEAD = SHORT.model_copy(update={"sync_steps": 3})


def reverse_kl(
    models: Models, student: Version, pair: tuple[Version, Version], prompts: list[Prompt], work_dir: Path
) -> float:
    """Mean over the tokens of a student's own responses, as a training step that moves nothing sees it."""
    still = SHORT.model_copy(update={"steps": 1, "batch": 64, "learning_rate": 1e-12, "checkpoint_steps": 1})
    return train(models, (student, pair[1]), prompts, work_dir, still).history[0].loss


@pytest.mark.parametrize(("top", "learning_rate"), [(0, 1e-3), (4, 5e-3)])
def test_a_teacher_behind_an_engine_teaches_too(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path, top: int, learning_rate: float
) -> None:
    changes = {"steps": 40, "batch": 16, "learning_rate": learning_rate, "checkpoint_steps": 20, "teacher_top": top}
    trainer = DistillingTrainer(models, TransformersSamplers(models).open)
    prompts = make_prompts(4, blobs)
    settings = SHORT.model_copy(update=changes)
    job = TrainingJob(*pair, prompts, [1.0] * 4, settings, seed=11)
    run = trainer.train(job, work_dir=tmp_path / "work", progress=Steps())
    trained = version_of(run.folder)
    before, after = (
        reverse_kl(models, student, pair, prompts, tmp_path / name)
        for student, name in ((pair[0], "before"), (trained, "after"))
    )
    assert after < 0.8 * before


def test_what_an_engine_cannot_tell_is_refused_before_the_first_step(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    trainer = DistillingTrainer(models, TransformersSamplers(models).open)
    for changes, message in (
        ({"loss_temperature": 0.7}, "set it to 1"),
        ({"teacher_top": 0, "beta": 0.5}, "set beta to 1"),
        ({"teacher_top": 0, "sync_steps": 2}, "set sync_steps to 1"),
    ):
        settings = SHORT.model_copy(update=changes)
        job = TrainingJob(*pair, make_prompts(2, blobs), [1.0] * 2, settings, seed=1)
        with pytest.raises(UsageError, match=message):
            trainer.train(job, work_dir=tmp_path, progress=Steps())


def test_the_support_of_the_whole_vocabulary_trains_as_the_weights_do(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    prompts = make_prompts(4, blobs)
    words = models.get(pair[1]).model.get_output_embeddings().weight.shape[0]
    settings = SHORT.model_copy(update={"teacher_top": words})
    trainer = DistillingTrainer(models, TransformersSamplers(models).open)
    job = TrainingJob(*pair, prompts, [1.0] * 4, settings, seed=11)
    scored = trainer.train(job, work_dir=tmp_path / "scored", progress=Steps())
    local = train(models, pair, prompts, tmp_path / "local")
    assert [row.loss for row in scored.history] == pytest.approx([row.loss for row in local.history], rel=1e-4)


def test_a_killed_training_ends_as_an_undisturbed_one(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    prompts = make_prompts(5, blobs)
    whole = train(models, pair, prompts, tmp_path / "whole")
    for kill_after in (1, 5):
        with pytest.raises(Interrupted):
            train(models, pair, prompts, tmp_path / "killed", steps=Steps(until=kill_after))
    kept = sorted(path.name for path in (tmp_path / "killed").glob("checkpoint-*"))
    assert kept == ["checkpoint-2", "checkpoint-4"]
    (tmp_path / "killed" / "checkpoint-5").mkdir()  # a kill while a checkpoint was being written
    steps = Steps()
    resumed = train(models, pair, prompts, tmp_path / "killed", steps=steps)
    assert folder_digest(resumed.folder) == folder_digest(whole.folder)
    assert (resumed.history, resumed.train_tokens, resumed.steps) == (whole.history, whole.train_tokens, whole.steps)
    assert steps.done == 6
    again = train(models, pair, prompts, tmp_path / "killed")  # a kill before the checkpoint was taken over
    assert (folder_digest(again.folder), again.history) == (folder_digest(whole.folder), whole.history)


def test_the_token_budget_ends_a_training(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    run = train(models, pair, make_prompts(4, blobs), tmp_path / "w", SHORT.model_copy(update={"token_budget": 30}))
    assert run.steps < 6
    assert 30 <= run.train_tokens < 30 + 4 * 6
    assert run.history[-1].step == run.steps


@pytest.mark.parametrize("name", ["model.safetensors", "rollouts-0.json"])
def test_a_damaged_checkpoint_is_not_used_but_the_one_before(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path, name: str, caplog: Any
) -> None:
    prompts = make_prompts(5, blobs)
    whole = train(models, pair, prompts, tmp_path / "whole", AHEAD)
    with pytest.raises(Interrupted):
        train(models, pair, prompts, tmp_path / "killed", AHEAD, steps=Steps(until=5))
    file = tmp_path / "killed" / "checkpoint-4" / name
    file.write_bytes(file.read_bytes()[:-1])
    steps = Steps()
    resumed = train(models, pair, prompts, tmp_path / "killed", AHEAD, steps)
    assert f"checkpoint-4 is not used: {name} is not what was written" in caplog.text
    assert steps.calls[0] == 2, "the steps that the checkpoint before held"
    assert (folder_digest(resumed.folder), resumed.history) == (folder_digest(whole.folder), whole.history)


def test_responses_drawn_ahead_are_kept_through_a_kill_and_their_age_is_told(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    prompts = make_prompts(5, blobs)
    whole = train(models, pair, prompts, tmp_path / "whole", AHEAD)
    for kill_after in (3, 5):
        with pytest.raises(Interrupted):
            train(models, pair, prompts, tmp_path / "killed", AHEAD, steps=Steps(until=kill_after))
    waiting = json.loads((tmp_path / "killed" / "checkpoint-4" / "rollouts-0.json").read_text())
    assert {row["step"] for row in waiting.values()} == {3}
    assert len(waiting) == 2 * AHEAD.batch  # of steps 4 and 5
    resumed = train(models, pair, prompts, tmp_path / "killed", AHEAD)
    assert (folder_digest(resumed.folder), resumed.history) == (folder_digest(whole.folder), whole.history)
    assert [step.rollout_age for step in whole.history] == [0.5, 1.0, 1.5]  # ages 0 1, 2 0, 1 2


def test_rollouts_that_are_never_old_are_those_of_each_step(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    """The first step after a refresh is the same whether or not the following ones are drawn with it."""
    prompts = make_prompts(5, blobs)
    fresh, ahead = (
        train(models, pair, prompts, tmp_path / str(sync), SHORT.model_copy(update={"sync_steps": sync, "steps": 1}))
        for sync in (1, 3)
    )
    assert folder_digest(fresh.folder) == folder_digest(ahead.folder)
    assert {step.rollout_age for step in fresh.history} == {0.0}


@pytest.mark.parametrize("hardware", [{"accumulation": 4}, {"gradient_checkpointing": True}])
def test_what_saves_memory_changes_nothing_but_rounding(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path, hardware: dict[str, Any]
) -> None:
    """Parts of a batch have responses of different lengths: each token counts the same, not each part."""
    prompts = make_prompts(5, blobs)
    saving = SHORT.model_copy(update={"hardware": Hardware(**hardware)})
    plain, saved = (
        train(models, pair, prompts, tmp_path / name, settings) for name, settings in (("a", SHORT), ("b", saving))
    )
    assert plain.train_tokens == saved.train_tokens
    for ours, theirs in zip(plain.history, saved.history, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-4)
        assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-3)


def test_the_schedule_is_the_one_that_was_chosen(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    rates = {}
    for name in ("linear", "constant_with_warmup"):
        settings = SHORT.model_copy(update={"lr_scheduler_type": name, "steps": 4, "checkpoint_steps": 1})
        run = train(models, pair, make_prompts(2, blobs), tmp_path / name, settings)
        rates[name] = [step.learning_rate for step in run.history]
    assert rates["linear"][:3] == pytest.approx([0, 1e-3, 1e-3 * 2 / 3])
    assert rates["constant_with_warmup"][1:] == pytest.approx([1e-3] * 3)


def test_a_batch_that_cannot_be_cut_into_equal_parts_is_refused() -> None:
    with pytest.raises(ValidationError, match="make it a multiple"):
        Training(batch=10, hardware=Hardware(accumulation=4))
