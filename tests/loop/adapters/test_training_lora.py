"""A LoRA adapter learns, survives a kill, and comes out as a whole student."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from loop.adapters.adapting import check_quantization, make_trainable
from loop.adapters.lora import merged_source
from loop.adapters.models import Models
from loop.training_settings import Lora, Training
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
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


def test_the_adapter_by_itself_makes_the_same_student_of_its_base(
    models: Models, checkpoints: FileCheckpoints, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    run = train(models, pair, make_prompts(4, blobs), tmp_path / "work", ADAPTED)
    assert run.folder is not None
    adapter = run.folder / "adapter"
    told = json.loads((adapter / "adapter_config.json").read_text())
    assert (told["base_model_name_or_path"], told["r"], told["lora_alpha"]) == (pair[0].id, 4, 8)
    source = merged_source(pair[0].source, str(adapter), checkpoints)
    merged, trained = (load_file(folder / "model.safetensors") for folder in (_folder(source, checkpoints), run.folder))
    assert merged.keys() == trained.keys()
    for name, value in trained.items():
        assert torch.allclose(merged[name], value, atol=1e-6), name
    whole = train(models, pair, make_prompts(4, blobs), tmp_path / "whole", SHORT)
    assert whole.folder is not None
    assert not (whole.folder / "adapter").exists()


def test_weights_of_four_bits_stay_and_the_adapter_goes_into_those_of_float32(
    models: Models, pair: tuple[Version, Version], blobs: FileBlobs, tmp_path: Path
) -> None:
    few = ADAPTED.model_copy(update={"lora": Lora(rank=4, alpha=8, bits=4)})
    prompts = make_prompts(5, blobs)
    run = train(models, pair, prompts, tmp_path / "whole", few)
    assert run.folder is not None
    before, after = (models.fresh(version).model.state_dict() for version in (pair[0], version_of(run.folder)))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any("norm" in name or "embed" in name or "lm_head" in name for name in moved)
    assert {value.dtype for value in after.values()} == {torch.float32}
    with pytest.raises(Interrupted):
        train(models, pair, prompts, tmp_path / "killed", few, Steps(until=5))
    resumed = train(models, pair, prompts, tmp_path / "killed", few)
    assert resumed.folder is not None
    assert folder_digest(resumed.folder) == folder_digest(run.folder)


def test_without_bitsandbytes_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    check_quantization(Lora(rank=4))
    with pytest.raises(UsageError, match=r"pip install 'deltaloop\[qlora\]'"):
        check_quantization(Lora(rank=4, bits=4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora": {"bits": 4}}, r"set training\.lora\.rank"),
        ({"lora": {"bits": 4, "rank": 4}, "hardware": {"processes": 2}}, "is trained in one process"),
        ({"lora": {"bits": 4, "rank": 4}, "backend": "trl"}, r"training\.lora\.bits is not for backend"),
    ],
)
def test_where_four_bits_cannot_be_is_told_when_the_file_is_read(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Training.model_validate(changes)


def _folder(source: str, checkpoints: FileCheckpoints) -> Path:
    return checkpoints.path(source.removeprefix("checkpoint:"))


def test_an_adapter_without_a_place_is_refused(models: Models, pair: tuple[Version, Version]) -> None:
    with pytest.raises(UsageError, match="fits no layer"):
        make_trainable(models.fresh(pair[0]).model, Lora(rank=4, targets="nothing_of_this_name"), seed=1)
