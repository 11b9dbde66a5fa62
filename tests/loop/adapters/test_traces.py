"""Off-policy training: the student learns to say what the teacher said, in its own tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.adapters.models import Models
from loop.adapters.trainer import DistillingTrainer
from loop.config import Training
from loop.ports import TrainingJob, TrainingRun
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.records import Prompt, Version
from tests.fakes import QuietProgress
from tests.tiny_models import make_prompts, version_of, write_byte_model, write_model

SETTINGS = Training(
    mode="off_policy", steps=40, batch=8, learning_rate=5e-3, warmup_steps=1, max_tokens=8, checkpoint_steps=20
)


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def models(tmp_path: Path, blobs: FileBlobs) -> Models:
    return Models(blobs, FileCheckpoints(tmp_path / "checkpoints"), device="cpu", threads=1)


def train(
    models: Models, pair: tuple[Version, Version], prompts: list[Prompt], traces: dict[str, list[str]], folder: Path
) -> TrainingRun:
    job = TrainingJob(*pair, prompts, [1.0] * len(prompts), SETTINGS, seed=11, traces=traces)
    return DistillingTrainer(models).train(job, work_dir=folder, progress=QuietProgress())


def test_the_student_learns_to_say_what_the_teacher_said_whatever_its_vocabulary(
    models: Models, blobs: FileBlobs, tmp_path: Path
) -> None:
    student = version_of(write_model(tmp_path / "student", seed=1, sharpness=4))
    teacher = version_of(write_byte_model(tmp_path / "teacher", seed=2))
    prompts = make_prompts(4, blobs)
    traces = {prompt.id: ["red thing Answer: two", "red Answer: two"] for prompt in prompts}
    run = train(models, (student, teacher), prompts, traces, tmp_path / "work")
    losses = [step.loss for step in run.history]
    assert losses[-1] < 0.3 * losses[0]
    assert 3 < run.history[0].response_tokens < 6, "between the two traces, the end counted"
    assert run.history[0].truncated_share == 0


def test_a_longer_trace_is_cut_off_and_another_trace_gives_another_model(
    models: Models, blobs: FileBlobs, tmp_path: Path
) -> None:
    pair = (
        version_of(write_model(tmp_path / "student", seed=1, sharpness=4)),
        version_of(write_model(tmp_path / "teacher", seed=2)),
    )
    prompts = make_prompts(1, blobs)
    runs = [
        train(models, pair, prompts, {prompts[0].id: [text]}, tmp_path / "work")
        for text in ("red " * 20, "red Answer: two")
    ]
    assert [run.history[0].truncated_share for run in runs] == [1, 0]
    assert [run.history[0].response_tokens for run in runs] == [8, 4]
