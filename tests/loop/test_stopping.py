"""How a process ends: the times that it is held to, and what real signals do to a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from loop.stopping import AT_ONCE, END_S, GRACE_S, Stopped, Stopping
from tests.conftest import ROOT

WORKER = """
import os, sys, threading, time
import loop.stopping
from loop.stopping import Stopped, listening

def wait(look):
    while True:
        time.sleep(0.01)
        look()

with listening() as stopping:
    print("ready", flush=True)
    try:
        {work}
    except Stopped as end:
        print("ended:", end.reason, flush=True)
        sys.exit(end.exit_code)
"""
LOOKING = "wait(stopping.look)"
DEAF = """
        loop.stopping.GRACE_S = 0.5
        wait(lambda: None)"""
ORDERED = """
        loop.stopping.GRACE_S = 0.5
        threading.Timer(0.1, stopping.ask, ("ordered", 0)).start()
        wait(lambda: None)"""
FORKING = """
        if os.fork() == 0:
            print(os.getpid(), flush=True)
            time.sleep(60)
        wait(stopping.look)"""


@contextmanager
def working(work: str) -> Iterator[subprocess.Popen[str]]:
    """A process at work, ready for signals."""
    command = [sys.executable, "-c", WORKER.format(work=work)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGTERM, 0, "stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_the_work_at_the_next_look(number: signal.Signals, code: int, reason: str) -> None:
    with working(LOOKING) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, f"ended: {reason}\n")
    assert err == f"{reason}: ending at the next commit, in {GRACE_S:.0f} s at most\n"


def test_work_that_does_not_look_is_interrupted() -> None:
    with working(DEAF) as process:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "ended: stopped by SIGTERM\n")


def test_whoever_asks_the_times_are_kept_to() -> None:
    with working(ORDERED) as process:
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "ended: ordered\n")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(second: signal.Signals) -> None:
    with working(DEAF) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(second)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (AT_ONCE, "")


def test_a_signal_to_a_forked_child_is_not_one_to_its_parent() -> None:
    with working(FORKING) as process:
        assert process.stdout is not None
        os.kill(int(process.stdout.readline()), signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)


def test_who_is_asked_is_interrupted_after_the_grace_and_ended_after_the_end() -> None:
    ended: list[int] = []
    interrupted: list[str] = []
    stopping = Stopping(ended.append, interrupt=lambda: interrupted.append("!"), clock=lambda: now)
    now = 100.0
    assert stopping.waits_s() is None
    stopping.ask("stopped", 0)
    assert stopping.waits_s() == pytest.approx(GRACE_S)
    now += GRACE_S
    stopping.waits_s()
    assert (interrupted, ended) == (["!"], [])
    now = 100 + END_S
    stopping.waits_s()
    assert ended == [0]


def test_who_has_looked_is_not_interrupted_while_it_ends() -> None:
    interrupted: list[str] = []
    stopping = Stopping(print, interrupt=lambda: interrupted.append("!"), clock=lambda: now)
    now = 0.0
    stopping.ask("stopped", 0)
    with pytest.raises(Stopped):
        stopping.look()
    stopping.on_interrupt(0, None)
    now = GRACE_S + 0.5
    assert stopping.waits_s() == pytest.approx(END_S - now)
    assert interrupted == []
