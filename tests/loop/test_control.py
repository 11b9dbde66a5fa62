"""Orders to a campaign that runs: it waits, goes on and ends, and comes to the facts of an undisturbed run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from loop.campaign import run_campaign
from loop.control import Control, obeying
from loop.stopping import Stopped, Stopping
from store.ledger import Ledger
from store.records import Order, Status
from tests.fakes import fake_ports, fake_settings
from tests.loop.fake_runs import Interrupter, run

Give = Callable[[Ledger, Control], None]
SMALL: dict[str, object] = {"rounds": 1, "pool": {"name": "fake", "size": 12}}


class Obedient:
    """A run of the fake campaign under orders, one of which is given in the middle of an operation."""

    def __init__(self, home: Path, at: str, give: Give) -> None:
        self.names: list[str] = []
        self._home = home
        self._at = at
        self._give = give

    def run(self) -> None:
        ports, student, teacher = fake_ports(self._home, self._beat)
        try:
            with (
                Ledger(self._home / "ledger.db") as self._operator,
                obeying(ports.ledger, "fake", Stopping(end=print), every_s=0.01) as self._control,
            ):
                watched = replace(ports, progress=self._control.watching(ports.progress), look=self._control.look)
                run_campaign(fake_settings(**SMALL), watched, student, teacher)
        finally:
            ports.ledger.close()  # type: ignore[attr-defined]

    def _beat(self, name: str) -> None:
        self.names.append(name)
        if name == self._at and self.names.count(name) == 2:
            self._give(self._operator, self._control)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """The facts of an undisturbed run, and how many operations it takes."""
    beat = Interrupter()
    return run(tmp_path_factory.mktemp("run"), beat, **SMALL), beat.count


def test_a_paused_campaign_waits_and_goes_on_to_the_same_facts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], alone: tuple[str, int]
) -> None:
    done: list[int] = []

    def give(ledger: Ledger, control: Control) -> None:
        ledger.give_order("fake", Order.PAUSE)
        wait_until(lambda: control.is_paused)
        threading.Thread(target=resume, args=(ledger,)).start()

    def resume(ledger: Ledger) -> None:
        wait_until(lambda: "is paused" in capsys.readouterr().err)
        done.append(len(paused.names))
        threading.Event().wait(0.2)
        done.append(len(paused.names))
        ledger.give_order("fake", Order.RUN)

    paused = Obedient(tmp_path, "train", give)
    paused.run()
    assert done[0] == done[1] < len(paused.names)
    again = Interrupter()
    assert run(tmp_path, again, **SMALL) == alone[0]
    assert (again.count, len(paused.names)) == (0, alone[1])


def test_a_stopped_campaign_goes_on_to_the_same_facts(tmp_path: Path, alone: tuple[str, int]) -> None:
    def give(ledger: Ledger, control: Control) -> None:
        ledger.give_order("fake", Order.STOP)
        wait_until(lambda: control.is_stopping)

    stopped = Obedient(tmp_path, "sample", give)
    with pytest.raises(Stopped, match="deltaloop stop"):
        stopped.run()
    with Ledger(tmp_path / "ledger.db") as ledger:
        row = ledger.find_campaign("fake")
        assert row is not None
        assert row.status is Status.STOPPED
        ledger.give_order("fake", Order.RUN)
    before = len(stopped.names)
    again = Interrupter()
    assert run(tmp_path, again, **SMALL) == alone[0]
    assert before + again.count <= alone[1] + 1


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(6000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")
