"""The transfer setting: what one pair found goes to another pair, which measures it anew and keeps what differs."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from tests.conftest import Calls
from tests.tiny_models import WORDS, picture, write_model

SETTINGS = """
rounds = 1
[models]
teacher = "{teacher}"
student = "{student}"
threads = 1
[pool]
name = "{pool}"
source = "{source}"
[sampling]
temperature = 1.0
max_tokens = 2
answer_pattern = "last_line"
[scoring]
teacher_samples = 4
student_samples = 4
reporting_samples = 0
[targeting]
regions = 2
[synthesis]
synthesizer = "none"
[training]
steps = 1
batch = 4
max_tokens = 2
[evaluation]
source = "held_out.jsonl"
main = ["own"]
beside = []
[tracking]
mlflow = false
"""


def campaign(folder: Path, name: str, seed: int, *, source: str) -> Path:
    """A campaign file for a pair of its own: the student is its teacher, less sure of itself."""
    pair = {role: write_model(folder / name / role, seed=seed, sharpness=SHARPNESS[role]) for role in SHARPNESS}
    file = folder / f"{name}.toml"
    file.write_text(f'name = "{name}"\n' + SETTINGS.format(**pair, pool=name, source=source), encoding="utf-8")
    return file


SHARPNESS = {"teacher": 8.0, "student": 4.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Prompts and held-out questions of a user."""
    for number in range(26):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    rows = [{"image": f"{number}.png", "query": f"what {WORDS[1 + number % 11]} is this"} for number in range(24)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    held_out = [
        {"suite": "own", "metric": "exact_match", "question": "how many", "images": [f"{n}.png"], "answers": ["two"]}
        for n in (24, 25)
    ]
    (tmp_path / "held_out.jsonl").write_text("\n".join(map(json.dumps, held_out)), encoding="utf-8")
    return tmp_path


def ok(call: Calls, *arguments: str | Path) -> str:
    done = call(*arguments)
    assert done.code == 0, done.err
    return done.out


@pytest.mark.slow
def test_another_pair_measures_an_exported_set_anew_and_keeps_what_differs(call: Calls, folder: Path) -> None:
    home = ("--home", folder / "home")
    ok(call, "run", campaign(folder, "first", 0, source="prompts.jsonl"), *home)
    ok(call, "export", "first", folder / "found", "--non-zero", *home)

    other = ("--home", folder / "other_home")
    kept_along = ("--attribute", "origin", "--attribute", "delta")
    told = json.loads(ok(call, "import", folder / "found", "--pool", "second", *kept_along, "--json", *other))
    ok(call, "run", campaign(folder, "second", 10, source="imported"), *other)
    ok(call, "export", "second", folder / "all", *other)
    ok(call, "export", "second", folder / "kept", "--non-zero", *other)

    found, measured, kept = (
        datasets.load_dataset(str(folder / name), split="train", cache_dir=str(folder / "cache"))
        for name in ("found", "all", "kept")
    )
    assert 0 < len(found) == told["added"]
    assert set(measured["id"]) == set(found["id"]), "content is identity: the same prompts in another home"
    assert set(measured["teacher"]).isdisjoint(found["teacher"])
    before, after = (dict(zip(rows["id"], rows["delta"], strict=True)) for rows in (found, measured))
    assert before != after
    assert set(kept["id"]) == {row["id"] for row in measured if not row["zero_delta"]}
    assert 0 < len(kept) < len(measured)
    for row in measured:
        attributes = json.loads(row["attributes"])
        assert attributes["origin"] == "seed"
        assert float(attributes["delta"]) == before[row["id"]]
