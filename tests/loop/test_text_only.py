"""A campaign without a single image: a pair of causal language models from folders, JSONL prompts and questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Calls
from tests.tiny_models import write_text_model

THINGS = ("red", "blue", "one", "two", "three", "thing")
CAMPAIGN = """
name = "words"
rounds = 1
[models]
teacher = "teacher"
student = "student"
device = "cpu"
threads = 1
[pool]
name = "words"
source = "prompts.jsonl"
[sampling]
max_tokens = 8
answer_pattern = "last_line"
[scoring]
teacher_samples = 4
student_samples = 4
reporting_samples = 0
[targeting]
regions = 2
[synthesis]
synthesizer = "none"
[selection]
min_consistency = 0.0
[training]
steps = 2
batch = 4
max_tokens = 6
[evaluation]
source = "held_out.jsonl"
main = ["words"]
beside = []
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for role, seed in (("teacher", 1), ("student", 2)):
        write_text_model(tmp_path / role, seed=seed, sharpness=8)
    prompts = [{"question": f"what is {one} {other}"} for one in THINGS for other in THINGS]
    held_out = [
        {"suite": "words", "metric": "exact_match", "question": f"how many {one} this", "answers": [one]}
        for one in THINGS
    ]
    for name, rows in (("prompts.jsonl", prompts), ("held_out.jsonl", held_out)):
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    path = tmp_path / "campaign.toml"
    path.write_text(CAMPAIGN, encoding="utf-8")
    return path


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
    from tests.tiny_models import picture

    (file.parent / "noise.png").write_bytes(picture(1))
    row = {"question": "what is this", "images": ["noise.png"]}
    (file.parent / "prompts.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    ran = call("run", file, "--home", file.parent / "home")
    assert ran.code == 1
    assert "it reads no images" in ran.err
    assert len(ran.err.strip().splitlines()[-1]) > 20
