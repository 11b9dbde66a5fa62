"""Orders and signals to a real controller, given by the commands and by the system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from store.errors import DeltaloopError
from store.ledger import Ledger
from tests.conftest import ROOT, SMOKE, Calls

SMALLEST = ["rounds=0", "pool.size=12", "evaluation.questions=2", 'evaluation.main=["chart"]', "evaluation.beside=[]"]


def controller(command: str, home: Path, *changes: str, **environment: str) -> subprocess.Popen[str]:
    """A process that runs, or serves, the smallest campaign."""
    words = [word for change in (*SMALLEST, *changes) for word in ("--set", change)]
    start = [
        sys.executable,
        "-c",
        "from loop.cli import main; main()",
        command,
        str(SMOKE),
        *words,
        "--home",
        str(home),
    ]
    env = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    pipe = subprocess.PIPE
    return subprocess.Popen(start, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True)


def wait_for_owner(home: Path, process: subprocess.Popen[str]) -> None:
    """Until the process has taken its lease."""
    while process.poll() is None:
        if (home / "ledger.db").exists():
            try:
                with Ledger(home / "ledger.db") as ledger:
                    if ledger.find_lease("smoke") is not None:
                        return
            except DeltaloopError:  # it is being made
                pass
        time.sleep(0.05)
    raise AssertionError(f"it ended with {process.returncode}")


@pytest.mark.slow
def test_a_paused_run_says_so_and_ends_at_once_when_it_is_asked_to(call: Calls, tmp_path: Path) -> None:
    with controller("run", tmp_path) as process:
        wait_for_owner(tmp_path, process)
        assert call("pause", "smoke", "--home", tmp_path).code == 0
        assert process.stderr is not None
        while "is paused; go on with: deltaloop resume smoke" not in process.stderr.readline():
            assert process.poll() is None
        told = call("status", "--home", tmp_path).out
        assert "paused by an operator; go on with: deltaloop resume smoke" in told
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped by SIGTERM: what is committed is kept; go on with: deltaloop run" in err
    assert "Traceback" not in err
    status = json.loads(call("status", "--json", "--home", tmp_path).out)
    assert (status["status"], status["order"]) == ("stopped", "pause")


def test_orders_to_what_is_not_there_are_one_line(call: Calls, tmp_path: Path) -> None:
    for command in ("pause", "resume", "stop"):
        done = call(command, "gone", "--home", tmp_path)
        assert done.code == 1
        assert done.err.startswith("error: ")
        assert "gone" in done.err
        assert done.err.count("\n") == 1
