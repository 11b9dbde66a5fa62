"""A LoRA adapter learns, survives a kill, and comes out as a whole student."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loop.adapters.adapting import make_trainable
from loop.adapters.models import Models
from loop.training_settings import Lora
from store.blobs import FileBlobs
from store.checkpoints import folder_digest
from store.errors import UsageError
from store.records import Version
from tests.tiny_models import make_prompts, version_of
from tests.trainings import SHORT, Interrupted, Steps, train

ADAPTED = SHORT.model_copy(update={"lora": Lora(rank=4, alpha=8), "learning_rate": 1e-2})


def test_an_adapter_learns_and_is_merged_into_a_whole_student(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    prompts = make_prompts(5, blobs)
    whole = train(models, pair, prompts, tmp_path / "whole", ADAPTED)
    assert whole.folder is not None
    before, after = (models.fresh(version).model.state_dict() for version in (pair[0], version_of(whole.folder)))
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any("norm" in name or "embed" in name or "lm_head" in name for name in moved)
    with pytest.raises(Interrupted):
        train(models, pair, prompts, tmp_path / "killed", ADAPTED, Steps(until=5))
    resumed = train(models, pair, prompts, tmp_path / "killed", ADAPTED)
    assert resumed.folder is not None
    assert folder_digest(resumed.folder) == folder_digest(whole.folder)
    assert resumed.history == whole.history


def test_an_adapter_without_a_place_is_refused(models: Models, pair: tuple[Version, Version]) -> None:
    with pytest.raises(UsageError, match="fits no layer"):
        make_trainable(models.fresh(pair[0]).model, Lora(rank=4, targets="nothing_of_this_name"), seed=1)
