"""Orders to a real controller, by the commands and by HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from loop.lease import holding
from store.ledger import Ledger
from tests.conftest import ROOT, SMOKE, Calls

SMALLEST = ["rounds=0", "pool.size=12", "evaluation.questions=2", 'evaluation.main=["chart"]', "evaluation.beside=[]"]


def service(home: Path, *changes: str, **environment: str) -> subprocess.Popen[str]:
    """A process that serves the smallest campaign, or one that `changes` make larger."""
    words = [word for change in (*SMALLEST, "service.port=0", *changes) for word in ("--set", change)]
    begin = [sys.executable, "-c", "from loop.cli import main; main()"]
    env = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*begin, "serve", SMOKE, *words, "--home", home], cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True
    )


def test_orders_to_what_is_not_there_are_one_line(call: Calls, tmp_path: Path) -> None:
    for command in ("pause", "resume", "stop"):
        done = call(command, "gone", "--home", tmp_path)
        assert done.code == 1
        assert done.err.startswith("error: ")
        assert "gone" in done.err
        assert done.err.count("\n") == 1


@pytest.mark.slow
def test_a_service_pauses_and_ends_when_another_process_asks_it_to(call: Calls, tmp_path: Path) -> None:
    token = "a token of the tests"
    with service(tmp_path, DELTALOOP_TOKEN=token) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[-1]
        until(lambda: asked(f"{url}/ready") == {"status": "ready"})
        until(lambda: asked(f"{url}/campaigns", token) != [])
        assert call("pause", "smoke", "--home", tmp_path).code == 0
        while "is paused; go on with: deltaloop resume smoke" not in process.stderr.readline():
            assert process.poll() is None
        told = call("status", "--home", tmp_path).out
        assert "paused by an operator; go on with: deltaloop resume smoke" in told
        with pytest.raises(HTTPError, match="401"):
            asked(f"{url}/campaigns/smoke/stop", method="POST")
        assert asked(f"{url}/campaigns/smoke/stop", token, method="POST") == {"campaign": "smoke", "order": "stop"}
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped by `deltaloop stop`: what is committed is kept; go on with: deltaloop serve" in err
    assert token not in out + err
    assert "Traceback" not in err
    status = json.loads(call("status", "--json", "--home", tmp_path).out)
    assert status["status"] in ("stopped", "completed")
    assert status["order"] == "stop"
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
