"""The drill of ends: how it asks, and what it takes for right."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from scripts.drill_crash import Place
from scripts.drill_stop import WAYS, Way, ask, is_right
from store.ledger import Ledger
from store.owners import this_process
from store.records import Order


class Sleeper:
    """A process that ends by a signal, in the way of a controller."""

    def __init__(self) -> None:
        self.pid = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
        self._code: int | None = None

    def code(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self) -> int:
        while self.code() is None:
            time.sleep(0.01)
        return self._code or 0


def test_signals_are_sent_and_waited_for(tmp_path: Path) -> None:
    sleeper = Sleeper()
    seconds = ask(Place(tmp_path, ""), sleeper, Way("SIGTERM", (signal.SIGTERM,), (0,)))  # type: ignore[arg-type]
    assert sleeper.code() == -signal.SIGTERM
    assert 0 < seconds < 60


def test_an_order_is_given_in_the_ledger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    sleeper = Sleeper()
    os.kill(sleeper.pid, signal.SIGKILL)
    with Ledger(url) as ledger:
        ledger.take_lease("smoke", this_process(), lease_s=30)
        ask(Place(tmp_path, url), sleeper, next(way for way in WAYS if not way.signals))  # type: ignore[arg-type]
        assert ledger.find_order("smoke") is Order.STOP


def test_an_end_is_right_by_its_code_and_its_time() -> None:
    term, interrupt, order, twice = WAYS
    assert is_right(term, 0, 9.9)
    assert not is_right(term, 0, 10.1)
    assert not is_right(term, 130, 1.0)
    assert is_right(interrupt, 130, 1.0)
    assert not is_right(order, -9, 1.0)
    assert is_right(twice, 130, 0.4)
