"""A real pretrained student, text only: SmolLM2-135M-Instruct, as scripts/setup_smollm2.py writes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from loop.adapters.models import Models
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.trainer import DistillingTrainer
from loop.config import Sampling
from loop.ports import SamplingJob, TrainingJob
from loop.training_settings import Training
from scripts.setup_smollm2 import FOLDER
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.records import Prompt, Role, Version
from tests.conftest import TOOLS
from tests.fakes import QuietProgress
from tests.tiny_models import version_of

SHARPNESS = 1.5
"""The teacher is the student made surer of itself: its logits are this many times larger."""
CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Spain": "Madrid"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Version]:
    """Student and teacher as folders."""
    teacher = tmp_path_factory.mktemp("smollm2") / "teacher"
    shutil.copytree(FOLDER, teacher)
    weights = load_file(FOLDER / "model.safetensors")
    weights["model.norm.weight"] *= SHARPNESS
    save_file(weights, teacher / "model.safetensors", metadata={"format": "pt"})
    return version_of(FOLDER), version_of(teacher, Role.TEACHER)


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.exists(), reason=f"needs SmolLM2: {TOOLS}")
def test_a_pretrained_language_model_answers_and_learns(pair: tuple[Version, Version], tmp_path: Path) -> None:
    models = Models(FileBlobs(tmp_path / "blobs"), FileCheckpoints(tmp_path / "checkpoints"), device="cpu", threads=1)
    student, teacher = pair
    prompts = [Prompt.make(f"What is the capital of {country}? Answer in one word.") for country in CAPITALS]
    greedy = Sampling(temperature=0.0, max_tokens=12, batch=4)
    (samples,) = TransformersSamplers(models).open(student).sample(SamplingJob(prompts, 1, 0, greedy))
    right = [capital in one.text for one, capital in zip(samples, CAPITALS.values(), strict=True)]
    assert sum(right) >= 3, [one.text for one in samples]

    settings = Training(steps=2, batch=2, learning_rate=1e-4, warmup_steps=0, max_tokens=8, checkpoint_steps=50)
    job = TrainingJob(student, teacher, prompts, [1.0] * len(prompts), settings, seed=0)
    run = DistillingTrainer(models).train(job, work_dir=tmp_path / "work", progress=QuietProgress())
    assert run.steps == 2
    assert 0 < run.history[-1].loss < 5
    before, after = (load_file(folder / "model.safetensors") for folder in (Path(student.source), run.folder))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
