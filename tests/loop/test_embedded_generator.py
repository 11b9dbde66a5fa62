"""The embedded teacher as a generator: it only knows its little world, and writes nothing that can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import SMOKE, Calls

CHANGES = (
    "synthesis.synthesizer=model",
    "synthesis.seed_guided=4",
    "synthesis.skill_guided=4",
    "generation.max_tokens=24",
    "generation.contrasts=1",
    "pool.size=24",
    "targeting.regions=2",
    "scoring.teacher_samples=4",
    "scoring.student_samples=4",
    "training.steps=1",
    "evaluation.questions=12",
    'evaluation.beside=["unseen"]',
    "models.threads=1",
    "tracking.mlflow=false",
)


@pytest.mark.slow
def test_the_round_ends_normally_with_nothing_admitted_and_says_so(tmp_path: Path, call: Calls) -> None:
    options = [word for change in CHANGES for word in ("--set", change)]
    done = call("run", SMOKE, *options, "--home", tmp_path)
    assert done.code == 0, done.err
    assert "admitted 0 of " in done.out
    (row,) = json.loads(call("status", "--json", "--home", tmp_path).out)["rounds"]
    assert row["status"] == "completed"
    assert row["synthesis"]["admitted"] == 0
    assert row["synthesis"]["proposed"] > 0
    assert row["spent"]["generator_samples"] > row["synthesis"]["proposed"] / 4
    assert row["spent"]["generator_tokens"] > 0
