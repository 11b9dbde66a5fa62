"""The clock of the day is set while a campaign runs or is served: nothing is lost, taken over or done twice."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from loop.lease import holding
from loop.scheduling import Drift, add_job, scheduling, shift
from store.errors import CampaignHeld
from store.ledger import Ledger
from store.owners import this_process
from store.records import Owner
from tests.fakes import fake_ports
from tests.loop.fake_runs import Interrupter, run

HOUR_S = 3600.0
SMALL: dict[str, object] = {"rounds": 1, "pool": {"name": "fake", "size": 12}}
ELSEWHERE = Owner("elsewhere", 17, "another boot", "4")


class Setter(Interrupter):
    """Sets the clock forward by an hour, and later back by two, as operations are counted."""

    def __init__(self, clock: time_machine.Coordinates) -> None:
        super().__init__()
        self.clock = clock

    def __call__(self, name: str) -> None:
        super().__call__(name)
        if self.count in (10, 25):
            self.clock.shift(HOUR_S if self.count == 10 else -2 * HOUR_S)


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    """The clock of the day, which goes right again afterwards."""
    with time_machine.travel(datetime.now(UTC), tick=True) as clock:
        yield clock


def test_a_run_whose_clock_is_set_comes_to_the_same_facts(tmp_path: Path, clock: time_machine.Coordinates) -> None:
    undisturbed = run(tmp_path / "calm", Interrupter(), **SMALL)
    setter = Setter(clock)
    with Ledger(tmp_path / "set" / "ledger.db") as ledger, holding(ledger, "fake", lease_s=3.0):
        begun = time.time()
        assert run(tmp_path / "set", setter, **SMALL) == undisturbed
        assert setter.count > 25
        assert time.time() < begun
        ledger.renew_lease()
        found = ledger.find_lease("fake")
        assert found is not None
        assert 0 < found.remaining_s <= 3.0
    ports, *_ = fake_ports(tmp_path / "set")
    assert all(stage.seconds >= 0 for row in ports.ledger.rounds("fake") for stage in row.stages)
    ports.ledger.close()  # type: ignore[attr-defined]


def test_a_running_owner_keeps_its_lease_when_the_clock_jumps_over_its_end(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path / "ledger.db") as first,
        Ledger(tmp_path / "ledger.db") as second,
        holding(first, "demo", lease_s=3.0),
        time_machine.travel(time.time() + HOUR_S, tick=True),
        pytest.raises(CampaignHeld, match=f"run by process {os.getpid()}"),
        holding(second, "demo", lease_s=3.0),
    ):
        pass


def test_the_lease_of_a_dead_owner_does_not_last_for_the_hours_that_the_clock_was_set_back(ledger_url: str) -> None:
    with Ledger(ledger_url) as first, Ledger(ledger_url) as second:
        first.take_lease("demo", ELSEWHERE, lease_s=30.0)
        first.database.guard = None
        with first.database.writing() as connection:
            connection.exec_driver_sql(f"UPDATE leases SET expires = expires + {HOUR_S}")
        with pytest.raises(CampaignHeld):
            second.take_lease("demo", this_process(), lease_s=30.0)
        found = second.find_lease("demo")
        assert found is not None
        assert 0 < found.remaining_s <= 30.0


def test_a_step_of_the_clock_is_told_from_its_slewing() -> None:
    now = {"wall": 1000.0, "steady": 5.0}
    drift = Drift(lambda: now["wall"], lambda: now["steady"])
    told = []
    for wall, steady in ((10.0, 10.0), (10.0 - HOUR_S, 10.0), (10.5, 10.0), (HOUR_S, 0.0)):
        now = {"wall": now["wall"] + wall, "steady": now["steady"] + steady}
        told.append(drift.step_s())
    assert told == [0.0, -HOUR_S, 0.0, HOUR_S]


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_intervals_end_when_they_would_have_and_crontab_times_stay(step_s: float) -> None:
    with scheduling(120) as scheduler:
        scheduler.pause()
        add_job(scheduler, "interval", "6h", print, now=False)
        add_job(scheduler, "crontab", "0 3 * * *", print, now=False)
        before = {job.id: job.next_run_time for job in scheduler.get_jobs()}
        shift(scheduler, step_s)
        moved = {job.id: job.next_run_time - before[job.id] for job in scheduler.get_jobs()}
    assert moved == {"interval": timedelta(seconds=step_s), "crontab": timedelta(0)}
