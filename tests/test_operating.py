"""Orders and signals to a real controller, given by the commands and by the system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from loop.lease import holding
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


@pytest.mark.slow
def test_a_service_answers_and_ends_when_it_is_asked_to_by_http(call: Calls, tmp_path: Path) -> None:
    token = "a token of the tests"
    with controller("serve", tmp_path, "service.port=0", DELTALOOP_TOKEN=token) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        until(lambda: asked(f"{url}/ready") == {"status": "ready"})
        with pytest.raises(HTTPError, match="401"):
            asked(f"{url}/campaigns/smoke/stop", method="POST")
        assert asked(f"{url}/campaigns/smoke/stop", token, method="POST") == {"campaign": "smoke", "order": "stop"}
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped by `deltaloop stop`: what is committed is kept; go on with: deltaloop serve" in err
    assert token not in out + err
    assert "Traceback" not in err
    again = call("stop", "smoke", "--home", tmp_path)
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert "nobody runs campaign `smoke`" in again.err


def test_an_expected_failure_is_one_object_where_the_log_is_json(call: Calls, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger, holding(ledger, "smoke"):
        done = call("run", SMOKE, "--home", tmp_path, DELTALOOP_LOG="json")
    assert done.code == 1
    told = json.loads(done.err)
    assert (told["level"], told["campaign"], told["round"]) == ("error", "smoke", None)
    assert "campaign `smoke` is run by process" in told["message"]
    assert "error" not in told


def test_a_service_that_anybody_could_reach_does_not_start(call: Calls, tmp_path: Path) -> None:
    done = call("serve", SMOKE, "--set", 'service.host="0.0.0.0"', "--home", tmp_path)
    assert done.code == 2
    assert "set a token in DELTALOOP_TOKEN" in done.err
    assert done.err.count("\n") == 1


def asked(url: str, token: str = "", method: str = "GET") -> object:
    """The JSON at a URL."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urlopen(Request(url, headers=headers, method=method), timeout=60) as answer:
        return json.load(answer)


def until(holds: Callable[[], bool]) -> None:
    for _ in range(600):
        try:
            if holds():
                return
        except HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("it never came true")
