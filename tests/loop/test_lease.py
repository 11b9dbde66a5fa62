"""The lease with real processes, the heartbeat, and what the command line says."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from loop.lease import holding
from scripts.drill_lease import killed, stopped, together
from store.errors import LeaseLost
from store.ledger import Ledger
from store.owners import this_process
from tests.conftest import SMOKE, Calls


def heartbeats() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lease heartbeat"]


def test_the_heartbeat_renews_the_lease_and_ends_with_the_work(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        with holding(ledger, "demo", lease_s=0.6):
            assert len(heartbeats()) == 1
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                time.sleep(0.05)
        assert heartbeats() == []
        found = ledger.find_lease("demo")
        assert found is not None
        assert (found.token, found.remaining_s < 0) == (1, True)


def test_a_failure_within_gives_the_lease_back(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        for error in (RuntimeError, KeyboardInterrupt):
            with pytest.raises(error), holding(ledger, "demo"):
                raise error
        assert heartbeats() == []
        with Ledger(tmp_path / "ledger.db") as other, holding(other, "demo"):
            pass


def test_the_heartbeat_interrupts_the_work_of_an_owner_that_has_lost_its_lease(tmp_path: Path) -> None:
    def work() -> None:
        with holding(ledger, "demo", lease_s=0.3):
            with other.database.writing() as connection:
                connection.exec_driver_sql("UPDATE leases SET expires = 1, boot = 'elsewhere'")
                connection.exec_driver_sql("UPDATE leases SET token = token + 1")
            time.sleep(60)

    with Ledger(tmp_path / "ledger.db") as ledger, Ledger(tmp_path / "ledger.db") as other:
        begun = time.monotonic()
        with pytest.raises(LeaseLost, match="taken over"):
            work()
        assert time.monotonic() - begun < 50
        assert heartbeats() == []


def test_of_two_controllers_that_start_together_exactly_one_works(ledger_url: str) -> None:
    Ledger(ledger_url).close()
    for _ in range(2):
        working, refused = together(ledger_url)
        assert working == "held"
        assert "is run by process" in refused


def test_a_killed_owner_is_displaced_at_once(ledger_url: str) -> None:
    Ledger(ledger_url).close()
    assert killed(ledger_url, lease_s=60) < 60


def test_a_stopped_owner_that_wakes_up_writes_nothing_more(ledger_url: str) -> None:
    Ledger(ledger_url).close()
    found = stopped(ledger_url)
    assert found.before > 0
    assert found.after == found.before
    assert "was taken over by process" in found.last_words
    assert found.code == 1


def test_run_names_the_process_that_is_at_it(call: Calls, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger, holding(ledger, "smoke"):
        done = call("run", SMOKE, "--home", tmp_path)
    assert done.code == 1
    assert done.err.startswith(
        f"error: campaign `smoke` is run by process {os.getpid()} on {this_process().host} since "
    )
    assert done.err.count("\n") == 1
