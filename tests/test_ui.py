"""`deltaloop ui`: three servers side by side, over HTTP, and how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.conftest import ROOT, Calls

PATIENCE_S = 120.0


def free_ports() -> int:
    """The first of three free ports in a row."""
    for first in range(20_000 + os.getpid() % 10_000, 60_000, 3):
        try:
            for port in range(first, first + 3):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


def asked(url: str, body: object = None) -> str:
    """What a server answers, once it does."""
    data = None if body is None else json.dumps(body).encode()
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.read().decode())
        except (URLError, ConnectionError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_three_servers_show_one_home_and_end_with_the_command(smoke_home: Path) -> None:
    port = free_ports()
    command = [sys.executable, "-c", "from loop.cli import main; main()", "ui", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--home", smoke_home], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        told = [process.stdout.readline().split() for _ in range(3)]
        assert [line[0] for line in told] == ["deltaloop", "mlflow", "optuna"]
        ours, mlflow, optuna = (line[1] for line in told)
        assert "smoke" in asked(ours)
        experiments = asked(f"{mlflow}/api/2.0/mlflow/experiments/search", {"max_results": 10})
        assert "deltaloop" in {one["name"] for one in json.loads(experiments)["experiments"]}
        assert "MLflow" in asked(mlflow)
        assert "Optuna" in asked(f"{optuna}/dashboard")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert process.returncode == 130
    assert not any(is_open(one) for one in range(port, port + 3))


def test_a_port_that_is_taken_is_named_and_nothing_stays(call: Calls, tmp_path: Path) -> None:
    port = free_ports()
    with socket.create_server(("127.0.0.1", port + 2)):
        ran = call("ui", "--port", str(port), "--home", tmp_path)
    assert ran.code == 1
    assert f"--port: {port + 2}, for optuna, is not free" in ran.err
    assert not is_open(port + 1)
