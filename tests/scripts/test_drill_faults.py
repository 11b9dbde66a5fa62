"""The drill of faults in small: a damaged ledger and a short output, in a campaign of one small round."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SMALLER = (
    "pool.size=12",
    "evaluation.questions=2",
    'evaluation.main=["chart"]',
    "evaluation.beside=[]",
    "training.steps=1",
    "training.batch=2",
    "tracking.mlflow=false",
)


@pytest.mark.slow
def test_a_damaged_ledger_is_told_restored_and_comes_to_the_undisturbed_facts() -> None:
    options = [word for change in SMALLER for word in ("--set", change)]
    command = [sys.executable, "-m", "scripts.drill_faults", "--only", "broken_page", "clock_steps", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deltaloop restore" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["by_fault"] == {"broken_page": True, "clock_steps": True}
