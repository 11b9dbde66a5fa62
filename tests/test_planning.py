"""`plan` against what a run of the same file then spends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from loop.bootstrap import open_home
from scripts.check_plan import COUNTS, WITHIN, spent_by
from tests.conftest import ROOT, SMOKE, Calls

EMBEDDED = ROOT / "scripts" / "campaigns" / "embedded.toml"
GIVEN = ("--prompts", "1000000", "--tokens", "200", "--teacher-rate", "100", "--student-rate", "1000")


@pytest.mark.slow
def test_the_plan_of_the_smoke_campaign_comes_true(call: Calls, smoke_home: Path, tmp_path: Path) -> None:
    done = call("plan", SMOKE, "--json", "--home", tmp_path / "home")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    spent = spent_by(open_home(smoke_home), "smoke")
    for name in COUNTS:
        assert told["total"][name] == pytest.approx(spent[name], rel=WITHIN), name
    assert told["total"]["answers"] == spent["answers"]
    assert 0 < told["total"]["device_hours"] < 1
    assert told["probe"]["seconds"] > 0
    assert told["scaled"]["10000000"]["teacher_samples"] > 40 * told["scaled"]["200000"]["teacher_samples"]
    assert open_home(tmp_path / "home").ledger.campaigns() == ()


def test_with_everything_given_no_model_is_touched(call: Calls, tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text('name = "big"\n[models]\nteacher = "some/absent-235B"\nstudent = "some/absent-8B"\n')
    done = call("plan", file, *GIVEN, "--train-rate", "500", "--json", "--home", tmp_path / "home")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["probe"]["prompts"] == 0
    assert told["rounds"][1]["teacher_samples"] > 8_000_000
    assert told["rounds"][1]["device_hours"] > 200 * 8_000_000 / 100 / 3600
    assert told["rounds"][1]["memory_bytes"] > 1_000_000 * 24 * 200  # samples of both sides, without their texts
    assert told["rounds"][1]["storage_bytes"] > 32e9  # a checkpoint of 8 billion parameters in float32 among it


def test_the_tables_say_what_is_assumed(call: Calls, tmp_path: Path) -> None:
    done = call("plan", EMBEDDED, *GIVEN, "--train-rate", "500", "--home", tmp_path / "home")
    assert done.code == 0, done.err
    assert re.search(r"^assumed +$", done.out, re.M)
    assert "every round promotes its student" in done.out
    assert "10,000,000" in done.out
    assert "held in memory, beside the models" in done.out
