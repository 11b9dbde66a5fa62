"""On-policy distillation of tiny random models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from loop.adapters.models import Models
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.trainer import OnPolicyTrainer
from loop.config import Training
from loop.ports import Advance, TrainingJob, TrainingRun
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.errors import EmptyTrainingSet, ModelUnusable, TrainingDiverged, UsageError
from store.records import Prompt, Version
from tests.tiny_models import WORDS, make_prompts, version_of, write_model, write_text_model

SHORT = Training(steps=6, batch=4, learning_rate=1e-3, warmup_steps=1, max_tokens=6, checkpoint_steps=2)


class Interrupted(BaseException):
    """What Ctrl-C is."""


class Steps:
    """A progress bar that remembers, and may interrupt after a number of steps."""

    def __init__(self, until: int | None = None) -> None:
        self.done = 0
        self.until = until

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Advance]:
        yield self._advance

    def _advance(self, done: int, /) -> None:
        self.done += done
        if self.until is not None and self.done >= self.until:
            raise Interrupted


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Version]:
    folder = tmp_path_factory.mktemp("pair")
    return (
        version_of(write_model(folder / "student", seed=1, sharpness=4)),
        version_of(write_model(folder / "teacher", seed=2, sharpness=8)),
    )


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def models(tmp_path: Path, blobs: FileBlobs) -> Models:
    return Models(blobs, FileCheckpoints(tmp_path / "checkpoints"), device="cpu", threads=1)


def train(
    models: Models,
    pair: tuple[Version, Version],
    prompts: list[Prompt],
    work_dir: Path,
    settings: Training = SHORT,
    steps: Steps | None = None,
) -> TrainingRun:
    job = TrainingJob(*pair, prompts, [1.0] * len(prompts), settings, seed=11)
    return OnPolicyTrainer(models).train(job, work_dir=work_dir, progress=steps or Steps())


def reverse_kl(
    models: Models, student: Version, pair: tuple[Version, Version], prompts: list[Prompt], work_dir: Path
) -> float:
    """Mean over the tokens of a student's own responses, as a training step that moves nothing sees it."""
    still = SHORT.model_copy(update={"steps": 1, "batch": 64, "learning_rate": 1e-12, "checkpoint_steps": 1})
    return train(models, (student, pair[1]), prompts, work_dir, still).history[0].loss


def test_training_brings_the_student_closer_to_the_teacher(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    settings = SHORT.model_copy(update={"steps": 20, "learning_rate": 5e-3, "checkpoint_steps": 10})
    steps = Steps()
    run = train(models, pair, make_prompts(4, blobs), tmp_path / "work", settings, steps)
    losses = [step.loss for step in run.history]
    assert [step.step for step in run.history] == [10, 20]
    assert losses[-1] < 0.7 * losses[0]
    assert run.steps == steps.done == 20
    assert 20 * 4 <= run.train_tokens <= 20 * 4 * 6
    trained = models.fresh(version_of(run.folder))
    assert trained.model.dtype == torch.float32
    assert trained.model.config.use_cache


@pytest.mark.parametrize(("top", "learning_rate"), [(0, 1e-3), (4, 5e-3)])
def test_a_teacher_behind_an_engine_teaches_too(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path, top: int, learning_rate: float
) -> None:
    changes = {"steps": 40, "batch": 16, "learning_rate": learning_rate, "checkpoint_steps": 20, "teacher_top": top}
    trainer = OnPolicyTrainer(models, TransformersSamplers(models).open)
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
    trainer = OnPolicyTrainer(models, TransformersSamplers(models).open)
    for changes, message in (
        ({"loss_temperature": 0.7}, "set it to 1"),
        ({"teacher_top": 0, "beta": 0.5}, "set beta to 1"),
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
    trainer = OnPolicyTrainer(models, TransformersSamplers(models).open)
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
    assert [path.name for path in (tmp_path / "killed").glob("checkpoint-*")] == ["checkpoint-4"]
    (tmp_path / "killed" / "checkpoint-5").mkdir()  # a kill while a checkpoint was being written
    steps = Steps()
    resumed = train(models, pair, prompts, tmp_path / "killed", steps=steps)
    assert folder_digest(resumed.folder) == folder_digest(whole.folder)
    assert (resumed.history, resumed.train_tokens, resumed.steps) == (whole.history, whole.train_tokens, whole.steps)
    assert steps.done == 6
    again = train(models, pair, prompts, tmp_path / "killed")  # a kill before the checkpoint was taken over
    assert (folder_digest(again.folder), again.history) == (folder_digest(whole.folder), whole.history)


def test_another_training_in_the_same_folder_starts_afresh(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    prompts = make_prompts(5, blobs)
    settings = SHORT.model_copy(update={"steps": 2})
    expected = train(models, pair, prompts, tmp_path / "fresh", settings)
    train(models, pair, prompts[:4], tmp_path / "used", settings)
    again = train(models, pair, prompts, tmp_path / "used", settings)
    assert folder_digest(again.folder) == folder_digest(expected.folder)


def test_the_folder_does_not_tell_where_the_student_came_from(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    moved = version_of(write_model(tmp_path / "elsewhere", seed=1, sharpness=4))
    assert moved.id == pair[0].id
    settings = SHORT.model_copy(update={"steps": 1})
    runs = [
        train(models, (student, pair[1]), make_prompts(2, blobs), tmp_path / name, settings)
        for name, student in (("a", pair[0]), ("b", moved))
    ]
    assert folder_digest(runs[0].folder) == folder_digest(runs[1].folder)


def test_the_token_budget_ends_a_training(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    run = train(models, pair, make_prompts(4, blobs), tmp_path / "w", SHORT.model_copy(update={"token_budget": 30}))
    assert run.steps < 6
    assert 30 <= run.train_tokens < 30 + 4 * 6
    assert run.history[-1].step == run.steps


def test_prompts_without_images_train_too(
    models: Models, blobs: FileBlobs, pair: tuple[Version, Version], tmp_path: Path
) -> None:
    settings = SHORT.model_copy(update={"steps": 2})
    mixed = [*make_prompts(2, blobs), *make_prompts(2, blobs, images=False)]
    assert train(models, pair, mixed, tmp_path / "mixed", settings).steps == 2
    text_pair = tuple(version_of(write_text_model(tmp_path / str(seed), seed=seed)) for seed in (0, 1))
    run = train(models, (text_pair[0], text_pair[1]), make_prompts(4, blobs, images=False), tmp_path / "text", settings)
    assert version_of(run.folder).id != text_pair[0].id


def test_nothing_to_train_on_is_refused(models: Models, pair: tuple[Version, Version], tmp_path: Path) -> None:
    with pytest.raises(EmptyTrainingSet):
        train(models, pair, [], tmp_path / "work")


def test_a_teacher_with_other_words_is_refused_by_the_first_of_them(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    other = version_of(write_model(tmp_path / "other", seed=2, words=(*WORDS[:-1], "zebra")))
    with pytest.raises(ModelUnusable, match="2 tokens, the first is 'thing'"):
        train(models, (pair[0], other), make_prompts(2, blobs), tmp_path / "work")


def test_a_loss_that_is_not_a_number_stops_with_its_step(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    broken = version_of(write_model(tmp_path / "broken", seed=9))
    with torch.no_grad():
        models.get(broken).model.lm_head.weight[5] = torch.nan
    with pytest.raises(TrainingDiverged, match="step 0: the loss is nan"):
        train(models, (pair[0], broken), make_prompts(2, blobs), tmp_path / "work")
