"""The service with fake models: rounds when they are due, each once, and a home that is kept."""

from __future__ import annotations

import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loop.bootstrap import open_home
from loop.config import CampaignSettings
from loop.control import Control
from loop.ports import Ports
from loop.scheduling import Desk, add_job, scheduling
from loop.service import Service
from loop.service_settings import Serving
from loop.stopping import Stopped, Stopping
from store.errors import DeltaloopError, DiskFull
from store.records import Status, Version
from store.verify import verify
from tests.fakes import fake_ports, fake_settings
from tests.loop.fake_runs import Interrupter, run

SMALL: dict[str, object] = {"rounds": 1, "pool": {"name": "fake", "size": 12}}
OFF = {"rounds": "off", "score": "off", "verify": "off", "backup": "off", "gc": "off"}


class Served:
    """A service on a fake campaign, served by this thread."""

    def __init__(self, home: Path, beat: Interrupter, **service: object) -> None:
        self.home = open_home(home)
        self.changes = dict(SMALL)
        self.stopping = Stopping(end=print)
        self._service = OFF | service
        self.service = Service(self.home, self.read, self._ports, Control("fake", self.stopping))
        self._beat = beat

    def read(self) -> CampaignSettings:
        return fake_settings(**self.changes, service=self._service)

    def _ports(self, settings: CampaignSettings) -> tuple[Ports, Version, Version]:
        return fake_ports(self.home.paths.home, self._beat, limits=settings.limits)

    def serve_while(self, work: Callable[[], object]) -> None:
        """Serve in this thread until another one has done something."""

        def do() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)
            finally:
                self.stopping.ask("the test is over", 0)

        failed: list[BaseException] = []

        thread = threading.Thread(target=do)
        thread.start()
        with pytest.raises(Stopped, match="the test is over"):
            self.service.serve()
        thread.join()
        for error in failed:
            raise error

    def fingerprint(self) -> str:
        found = verify(self.home.ledger, self.home.blobs, self.home.checkpoints)
        assert found.problems == ()
        return found.fingerprint

    def status(self) -> Status:
        row = self.home.ledger.find_campaign("fake")
        assert row is not None
        return row.status


def until(holds: Callable[[], bool]) -> None:
    for _ in range(6000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """The facts of the campaign when it is run, and how many operations that takes."""
    beat = Interrupter()
    return run(tmp_path_factory.mktemp("run"), beat, **SMALL), beat.count


def test_back_to_back_rounds_follow_each_other(tmp_path: Path) -> None:
    served = Served(tmp_path, Interrupter(), rounds="back-to-back")
    served.changes["rounds"] = 2
    served.serve_while(lambda: until(lambda: served.service.next_round() == 3))
    assert served.status() is Status.COMPLETED
    assert [row.status for row in served.home.ledger.rounds("fake")] == [Status.COMPLETED] * 3


def test_a_round_that_is_asked_for_twice_is_done_once(tmp_path: Path, alone: tuple[str, int]) -> None:
    beat = Interrupter()
    served = Served(tmp_path, beat)

    def fire_together() -> None:
        threads = [threading.Thread(target=served.service.rounds) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done = beat.count
        served.service.round(1)
        assert beat.count == done

    served.serve_while(fire_together)
    assert served.service.next_round() == 2
    assert (served.fingerprint(), beat.count) == alone


def test_a_round_that_failed_is_told_and_goes_on_the_next_time(tmp_path: Path, alone: tuple[str, int]) -> None:
    served = Served(tmp_path, Interrupter(30, RuntimeError("the engine is gone")))

    def fire_twice() -> None:
        served.service.rounds()
        state = next(job for job in served.service.jobs() if job.name == "rounds")
        assert state.last is not None
        assert "the engine is gone" in (state.last.error or "")
        served.service.rounds()

    served.serve_while(fire_twice)
    assert served.status() is Status.COMPLETED
    assert served.fingerprint() == alone[0]


def test_a_limit_that_is_reached_is_no_failure_and_a_higher_one_goes_on(tmp_path: Path, alone: tuple[str, int]) -> None:
    served = Served(tmp_path, Interrupter())
    served.changes["limits"] = {"samples": {"score": 10}}

    def fire() -> None:
        for _ in range(3):
            served.service.rounds()
        stage = served.home.ledger.find_stage("fake", 1, "score")
        assert stage is not None
        assert (stage.status, stage.attempts) == (Status.STOPPED, 1)
        assert served.status() is Status.STOPPED
        del served.changes["limits"]
        served.service.rounds()

    served.serve_while(fire)
    assert served.fingerprint() == alone[0]


def test_between_rounds_a_campaign_is_running_and_afterwards_stopped(tmp_path: Path) -> None:
    served = Served(tmp_path, Interrupter())
    served.changes["rounds"] = 5
    seen: list[Status] = []

    def fire() -> None:
        served.service.rounds()
        seen.append(served.status())

    served.serve_while(fire)
    assert seen == [Status.RUNNING]
    assert (served.service.next_round(), served.status()) == (2, Status.STOPPED)


def test_the_file_is_read_again_before_each_round(tmp_path: Path) -> None:
    served = Served(tmp_path, Interrupter())

    def raise_rounds() -> None:
        served.service.rounds()
        served.service.rounds()
        assert served.service.next_round() == 2
        served.changes["rounds"] = 2
        served.service.rounds()
        assert served.service.next_round() == 3
        served.changes["name"] = "other"
        served.service.rounds()

    served.serve_while(raise_rounds)
    state = next(job for job in served.service.jobs() if job.name == "rounds")
    assert state.last is not None
    assert "names campaign `other` now" in (state.last.error or "")


def test_a_score_spends_what_the_next_round_would(tmp_path: Path) -> None:
    beat = Interrupter()
    served = Served(tmp_path, beat)
    served.service.round(1)
    served.service.score()
    done = beat.count
    served.service.score()
    assert beat.names[done:].count("sample") == 0


def test_old_archives_make_room_for_new_ones_and_nothing_else_goes(tmp_path: Path) -> None:
    served = Served(tmp_path, Interrupter(), backups=2)
    folder = tmp_path / "backups"
    folder.mkdir()
    for name in (
        "fake-20200101T000000Z.tar",
        "fake-20210101T000000Z.tar",
        "fake-mine.tar",
        "other-20200101T000000Z.tar",
    ):
        (folder / name).touch()
    served.service.backup()
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "fake-20210101T000000Z.tar"
    assert names[2:] == ["fake-mine.tar", "other-20200101T000000Z.tar"]
    with tarfile.open(folder / names[1]) as archive:
        assert "ledger.db" in archive.getnames()


def test_no_backup_takes_the_disk_below_its_floor(tmp_path: Path) -> None:
    served = Served(tmp_path, Interrupter())
    served.changes["limits"] = {"free_disk_mb": 10**9}
    service = Service(served.home, served.read, served._ports, Control("fake", served.stopping))
    with pytest.raises(DiskFull, match=r"the backup does not start: \d+ MB are free .*free_disk_mb = 1000000000"):
        service.backup()
    assert not (tmp_path / "backups").exists()


def test_a_damaged_home_fails_the_check(tmp_path: Path) -> None:
    served = Served(tmp_path, Interrupter())
    digest = served.home.blobs.put(b"whole")
    path = served.home.blobs.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"torn")
    (tmp_path / "index" / "index-broken.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DeltaloopError, match=r"2 problem\(s\) in the home"):
        served.service.verify()


def test_nobody_waits_for_a_desk_that_is_closed() -> None:
    desk = Desk()
    asked = threading.Thread(target=desk.ask, args=("never done", lambda: None))

    def look() -> None:
        asked.start()
        until(lambda: not desk.ask("never done", lambda: None))
        raise Stopped("over", 0)

    with pytest.raises(Stopped):
        desk.serve(look)
    asked.join()
    assert desk.ask("too late", lambda: None) is False


@contextmanager
def scheduled(trigger: str, *, now: bool = False) -> Iterator[Any]:
    with scheduling(120) as scheduler:
        scheduler.pause()
        add_job(scheduler, "job", trigger, print, now=now)
        yield scheduler.get_job("job")


def test_a_job_runs_once_at_a_time_and_missed_times_are_one() -> None:
    with scheduled("6h") as job:
        assert (job.max_instances, job.coalesce, job.misfire_grace_time) == (1, True, 120)
        assert str(job.trigger) == "interval[6:00:00]"
    with scheduled("30 2 * * *") as job:
        assert "hour='2', minute='30'" in str(job.trigger)
        assert str(job.trigger.timezone) == "UTC"
    with scheduled("off") as job:
        assert job is None


@pytest.mark.parametrize("trigger", ["back-to-back", "off", "90s", "30m", "6h", "2d", "0 */6 * * *", "0 3 * * mon"])
def test_triggers_that_there_are(trigger: str) -> None:
    assert Serving(rounds=trigger).rounds == trigger


@pytest.mark.parametrize("trigger", ["", "often", "0s", "-1h", "6 h", "6", "61 * * * *", "* * * *", "back to back"])
def test_triggers_that_there_are_not(trigger: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Serving(rounds=trigger)


def test_only_rounds_are_back_to_back() -> None:
    with pytest.raises(ValueError, match="neither"):
        Serving(backup="back-to-back")


def test_what_serves_is_no_fact_of_a_round() -> None:
    plain, changed = fake_settings(), fake_settings(service={"port": 1, "rounds": "6h"})
    assert changed.service.port == 1
    assert plain.model_dump(mode="json") == changed.model_dump(mode="json")
