"""The settings of a role decide how its models are loaded, and which engine samples from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForImageTextToText

from loop.adapters.engines import base_version, make_models, make_samplers
from loop.adapters.vllm_engine import VllmSamplers
from loop.config import CampaignSettings, Sampling
from loop.ports import SamplingJob
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.errors import ModelUnusable
from store.records import Role
from tests.tiny_models import make_prompts, write_model, write_text_model


def settings_of(folder: Path, **student: Any) -> CampaignSettings:
    models = {"teacher": str(folder), "student": str(folder), "device": "cpu", "threads": 1}
    return CampaignSettings.model_validate({"name": "pair", "models": models, "engines": {"student": student}})


def write_adapter(model_folder: Path, folder: Path, *, seed: int) -> Path:
    """A LoRA adapter that moves the attention of a tiny model."""
    torch.manual_seed(seed)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForImageTextToText.from_pretrained(model_folder), config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("student", "rank"), [({}, 16), ({"serve_adapters": False}, 0)])
def test_the_student_s_vllm_has_room_for_the_adapters_that_are_trained(
    tmp_path: Path, blobs: FileBlobs, checkpoints: FileCheckpoints, student: dict[str, Any], rank: int
) -> None:
    tables = {"student": {"kind": "vllm", **student}, "teacher": {"kind": "vllm"}}
    settings = CampaignSettings.model_validate(
        {"name": "pair", "models": {"device": "cpu"}, "engines": tables, "training": {"lora": {"rank": 16}}}
    )
    by_role = make_samplers(settings, make_models(settings, blobs, checkpoints)).by_role
    rooms = {role: samplers.lora_rank for role, samplers in by_role.items() if isinstance(samplers, VllmSamplers)}
    assert rooms == {Role.STUDENT: rank, Role.TEACHER: 0}


def test_attention_is_a_setting_of_the_role(tmp_path: Path, blobs: FileBlobs, checkpoints: FileCheckpoints) -> None:
    settings = settings_of(write_text_model(tmp_path / "model", seed=0), attention="eager")
    models = make_models(settings, blobs, checkpoints)
    student = models.fresh(base_version(Role.STUDENT, settings, checkpoints))
    teacher = models.fresh(base_version(Role.TEACHER, settings, checkpoints))
    assert student.model.config._attn_implementation == "eager"
    assert teacher.model.config._attn_implementation == "sdpa"


def test_an_adapter_makes_another_version_which_every_engine_reads_as_a_folder(
    tmp_path: Path, blobs: FileBlobs, checkpoints: FileCheckpoints
) -> None:
    folder = write_model(tmp_path / "model", seed=3)
    settings = settings_of(folder, adapter=str(write_adapter(folder, tmp_path / "lora", seed=0)))
    student, teacher = (base_version(role, settings, checkpoints) for role in (Role.STUDENT, Role.TEACHER))
    assert base_version(Role.STUDENT, settings, checkpoints) == student
    assert student.id != teacher.id
    merged = AutoModelForImageTextToText.from_pretrained(checkpoints.path(student.id))
    base = AutoModelForImageTextToText.from_pretrained(folder)
    moved = {name for name, weight in merged.state_dict().items() if not weight.equal(base.state_dict()[name])}
    assert moved
    assert all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in moved)
    prompts = make_prompts(8, blobs)
    samplers = make_samplers(settings, make_models(settings, blobs, checkpoints))
    texts = [
        [one.text for chunk in samplers.open(version).sample(SamplingJob(prompts, 4, 1, Sampling())) for one in chunk]
        for version in (student, teacher)
    ]
    assert texts[0] != texts[1]


def test_an_adapter_of_another_model_is_refused(tmp_path: Path, checkpoints: FileCheckpoints) -> None:
    adapter = write_adapter(write_model(tmp_path / "model", seed=0), tmp_path / "lora", seed=0)
    settings = settings_of(write_text_model(tmp_path / "other", seed=0), adapter=str(adapter))
    with pytest.raises(ModelUnusable, match="does not fit"):
        base_version(Role.STUDENT, settings, checkpoints)
