"""The transfer setting: what one pair found goes to another pair, which measures it anew and keeps what differs."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from tests.conftest import Calls
from tests.tiny_campaign import held_out, write_campaign, write_rows
from tests.tiny_models import WORDS, picture, write_model

SHARPNESS = {"teacher": 8.0, "student": 4.0}


def campaign(folder: Path, name: str, seed: int, *, source: str) -> Path:
    """A campaign file for a pair of its own: the student is its teacher, less sure of itself."""
    pair = {role: write_model(folder / name / role, seed=seed, sharpness=SHARPNESS[role]) for role in SHARPNESS}
    return write_campaign(folder, name, source=source, **pair)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Prompts and held-out questions of a user."""
    for number in range(26):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    rows = [{"image": f"{number}.png", "query": f"what {WORDS[1 + number % 11]} is this"} for number in range(24)]
    write_rows(tmp_path / "prompts.jsonl", rows)
    write_rows(tmp_path / "held_out.jsonl", [held_out("how many", "two", f"{number}.png") for number in (24, 25)])
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
