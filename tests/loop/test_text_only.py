"""A campaign without a single image: a pair of causal language models from folders, JSONL prompts and questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Calls
from tests.tiny_campaign import held_out, write_campaign, write_rows
from tests.tiny_models import picture, write_text_model

THINGS = ("red", "blue", "one", "two", "three", "thing")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for role, seed in (("teacher", 1), ("student", 2)):
        write_text_model(tmp_path / role, seed=seed, sharpness=8)
    prompts = [{"question": f"what is {one} {other}"} for one in THINGS for other in THINGS]
    write_rows(tmp_path / "prompts.jsonl", prompts)
    write_rows(tmp_path / "held_out.jsonl", [held_out(f"how many {one} this", one) for one in THINGS])
    return write_campaign(tmp_path, "words", teacher="teacher", student="student")


def test_a_text_only_campaign_runs_on_causal_language_models(file: Path, call: Calls) -> None:
    home = file.parent / "home"
    ran = call("run", file, "--home", home)
    assert ran.code == 0, ran.err
    shown = json.loads(call("status", "words", "--json", "--home", home).out)
    (first,) = shown["rounds"]
    assert {stage["status"] for stage in first["stages"]} == {"completed"}
    assert first["delta"]["prompts"] == 36
    assert first["delta"]["mean"] > 0
    assert first["train"]["steps"] == 2
    written = file.parent / "trained"
    assert call("student", "words", written, "--round", "1", "--home", home).code == 0
    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained(written).config.model_type == "llama"
    assert call("verify", "words", "--home", home).code == 0


def test_a_text_only_pair_refuses_a_pool_with_an_image(file: Path, call: Calls) -> None:
    (file.parent / "noise.png").write_bytes(picture(1))
    write_rows(file.parent / "prompts.jsonl", [{"question": "what is this", "images": ["noise.png"]}])
    ran = call("run", file, "--home", file.parent / "home")
    assert ran.code == 1
    assert "it reads no images" in ran.err
    assert len(ran.err.strip().splitlines()[-1]) > 20
