"""The crash drill: its moments, and that a killed run of a campaign without rounds comes to the same facts."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice

import pytest

from scripts.drill_crash import STAGES, moments
from tests.conftest import ROOT


def test_the_moments_are_spread_over_all_stages_and_follow_the_seed() -> None:
    drawn = list(islice(moments(3), 2 * len(STAGES)))
    assert [stage for stage, _ in drawn] == [*STAGES, *STAGES]
    assert all(0 <= share < 1 for _, share in drawn)
    assert drawn == list(islice(moments(3), 2 * len(STAGES))) != list(islice(moments(4), 2 * len(STAGES)))


@pytest.mark.slow
def test_two_kills_change_no_fact() -> None:
    smaller = [
        "rounds=0",
        "pool.size=12",
        "evaluation.questions=2",
        'evaluation.main=["chart"]',
        "evaluation.beside=[]",
    ]
    options = [word for change in smaller for word in ("--set", change)]
    command = [sys.executable, "-m", "scripts.drill_crash", "--kills", "2", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["identical"] is True
    # Not which stages were hit: stages this short may be over by the time the kill comes, which then falls between two.
    assert (found["kills"], found["homes"], found["duplicated_samples"]) == (2, 1, 0)
