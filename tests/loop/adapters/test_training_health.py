"""A training that goes wrong ends with its last good version, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from loop.adapters.chunked import CHUNK
from loop.adapters.decoding import Drawn
from loop.adapters.distilling import Responses
from loop.adapters.models import Models
from loop.adapters.rollout_buffer import Rollout
from loop.adapters.vitals import Vitals
from loop.training_settings import Training
from store.blobs import FileBlobs
from store.checkpoints import folder_digest
from store.records import Version
from tests.tiny_models import make_prompts, version_of, write_model
from tests.trainings import SHORT, train


def _with(settings: Training, **bounds: float) -> Training:
    return settings.model_copy(update={"health": settings.health.model_copy(update=bounds)})


@pytest.mark.parametrize(
    ("bound", "value"),
    [
        ("max_length_ratio", 1.001),
        ("max_truncated_rise", 0.001),
        ("max_repetition_rise", 0.001),
        ("min_entropy_ratio", 0.999),
        ("max_support_fall", 0.001),
        ("max_divergence_rise", 1e-6),
        ("max_grad_norm_ratio", 1.001),
    ],
)
def test_an_alarm_ends_a_training_with_its_last_good_checkpoint(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path, bound: str, value: float
) -> None:
    """A student that runs wild at once crosses the bound in question, all others being far off."""
    far = {
        "max_length_ratio": 1e9,
        "max_truncated_rise": 1.0,
        "max_repetition_rise": 1.0,
        "min_entropy_ratio": 0.0,
        "max_support_fall": 1.0,
        "max_divergence_rise": 1e9,
        "max_grad_norm_ratio": 1e9,
    }
    settings = SHORT.model_copy(
        update={
            "steps": 20,
            "batch": 8,
            "learning_rate": 0.3,
            "max_tokens": 16,
            "checkpoint_steps": 1,
            "teacher_top": 1,
        }
    )
    run = train(models, pair, make_prompts(4, blobs), tmp_path / "work", _with(settings, **far | {bound: value}))
    assert f"training.health.{bound}" in run.alarm
    assert 1 <= run.steps < 20
    assert run.history[-1].step == run.steps + 1
    assert run.folder is not None
    kept = tmp_path / "work" / f"checkpoint-{run.steps}"
    weights, expected = (load_file(folder / "model.safetensors") for folder in (run.folder, kept))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)


def test_a_loss_that_is_no_number_from_the_start_gives_no_version(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    broken = version_of(write_model(tmp_path / "broken", seed=9))
    with torch.no_grad():
        models.get(broken).model.lm_head.weight[5] = torch.nan
    run = train(models, (pair[0], broken), make_prompts(2, blobs), tmp_path / "work")
    assert (run.folder, run.steps) == (None, 0)
    assert run.alarm == "step 0: the loss is nan; lower training.learning_rate"


def test_the_alarm_of_a_resumed_training_is_that_of_an_undisturbed_one(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    settings = SHORT.model_copy(update={"learning_rate": 1e30, "checkpoint_steps": 1})
    runs = [train(models, pair, make_prompts(4, blobs), tmp_path / "work", settings) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[1].folder is not None
    assert folder_digest(runs[1].folder) == folder_digest(runs[0].folder)


def test_vitals_of_responses_are_means_over_them() -> None:
    vitals = Vitals()
    rollouts = [
        Rollout(Drawn((1, 2, 1, 2, 1, 2), ended=False), step=3),  # sequences 1212, 2121, 1212: one is repeated
        Rollout(Drawn((1, 2), ended=True), step=5),
    ]
    vitals.note_responses(rollouts, step=5)
    responses = Responses.of([one.drawn for one in rollouts], torch.device("cpu"))
    vitals.note_losses(torch.tensor([1.0, 1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 7.0]), responses)
    means = vitals.means(lambda value: value)
    assert means["response_tokens"] == 4
    assert means["truncated_share"] == 0.5
    assert means["rollout_age"] == 1
    assert means["repetition"] == pytest.approx(1 / 3)
    # quarters of six tokens: 0 0 1 2 2 3; of two: 0 2
    assert [means[f"divergence_{quarter}"] for quarter in (1, 2, 3, 4)] == pytest.approx([7 / 3, 2, 13 / 3, 4])


def test_entropy_and_support_are_measured_on_a_chunk() -> None:
    vitals = Vitals()
    states = torch.zeros(CHUNK + 5, 8)
    supported = torch.arange(CHUNK + 5) % 4 == 0
    vitals.note_logits(states, torch.nn.Identity(), lambda tokens: supported[tokens])
    means = vitals.means(lambda value: value)
    assert means["entropy"] == pytest.approx(torch.tensor(8.0).log().item())
    assert means["support_share"] == 0.25
