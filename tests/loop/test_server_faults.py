"""Drills: a pool is scored with a teacher behind a server that fails in every way that servers fail.

The stage ends with the same ledger as without faults, or with one clear error and everything kept, to go on from there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from loop.adapters.engines import EngineSamplers
from loop.adapters.server import ServerSampler, server_version
from loop.campaign import run_campaign
from loop.delta_report import measure
from loop.engine_settings import ServerEngine
from loop.ports import Ports, Sampler
from store.errors import DeltaloopError, ModelUnusable, ServerUnavailable
from store.records import Role, Version
from store.verify import verify
from tests.fake_server import (
    MODEL,
    FakeServer,
    broken_off,
    empty_choices,
    half_a_body,
    half_a_json,
    hang_up,
    stall,
    status,
)
from tests.fakes import fake_ports, fake_settings

KEY = "sk-of-the-drill"
FAULTS = [status(500), status(429, Retry_After="0.01"), half_a_json, half_a_body, hang_up, empty_choices, broken_off]
SETTINGS = fake_settings(pool={"name": "fake", "size": 24})
TEACHER = server_version("fake:teacher", Role.TEACHER)


@dataclass(frozen=True)
class OneSampler:
    """The teacher's samplers in a drill."""

    sampler: Sampler

    def open(self, version: Version) -> Sampler:
        assert version == TEACHER
        return self.sampler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setenv("DRILL_KEY", KEY)
    with FakeServer(key=KEY) as running:
        yield running


def drill_ports(home: Path, url: str, **changes: float) -> tuple[Ports, Version]:
    """Fakes, but for the teacher: a real client of the server."""
    ports, student, _ = fake_ports(home)
    settings = {"concurrency": 4, "timeout_seconds": 5.0, "retries": 8} | changes
    engine = ServerEngine.model_validate({"endpoints": [url], "api_key_env": "DRILL_KEY"} | settings)
    teacher = OneSampler(ServerSampler(engine, MODEL, ports.blobs, first_rest=0.005))
    samplers = EngineSamplers({Role.TEACHER: teacher, Role.STUDENT: ports.samplers})
    return replace(ports, samplers=samplers), student


def score(home: Path, server: FakeServer, **changes: float) -> str:
    """Score the pool; returns the fingerprint of the facts."""
    ports, student = drill_ports(home, server.url, **changes)
    return scored(ports, student)


def scored(ports: Ports, student: Version) -> str:
    try:
        measure(SETTINGS, ports, student, TEACHER)
        checked = verify(ports.ledger, ports.blobs, ports.checkpoints)
        assert not checked.problems
        return checked.fingerprint
    finally:
        ports.ledger.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of the same work with the same teacher in process."""
    ports, student = in_process(tmp_path_factory.mktemp("undisturbed"))
    return scored(ports, student)


def in_process(home: Path) -> tuple[Ports, Version]:
    ports, student, teacher = fake_ports(home)
    inner = OneSampler(ports.samplers.open(teacher))
    return replace(ports, samplers=EngineSamplers({Role.TEACHER: inner, Role.STUDENT: ports.samplers})), student


def test_a_teacher_behind_a_server_gives_the_facts_of_a_whole_campaign_as_in_process(
    tmp_path: Path, server: FakeServer
) -> None:
    server.before_reply = lambda number: server.faults.append(status(500)) if number % 50 == 0 else None
    prints = []
    for ports, student in (in_process(tmp_path / "here"), drill_ports(tmp_path / "there", server.url)):
        run_campaign(fake_settings(rounds=1), ports, student, TEACHER)
        prints.append(verify(ports.ledger, ports.blobs, ports.checkpoints).fingerprint)
        ports.ledger.close()
    assert prints[0] == prints[1]


def test_faults_of_every_kind_leave_the_same_ledger(tmp_path: Path, server: FakeServer, undisturbed: str) -> None:
    seen: list[int] = []

    def now_and_then(number: int) -> None:
        if number % 4 == 0 and len(seen) < 3 * len(FAULTS):
            server.faults.append(FAULTS[len(seen) % len(FAULTS)])
            seen.append(number)

    server.before_reply = now_and_then
    assert score(tmp_path, server) == undisturbed
    assert len(seen) == 3 * len(FAULTS)


def test_a_server_that_is_killed_and_restarted_leaves_the_same_ledger(
    tmp_path: Path, server: FakeServer, undisturbed: str
) -> None:
    def restart() -> None:
        server.stop()
        time.sleep(0.05)
        server.start()

    server.before_reply = lambda number: threading.Thread(target=restart).start() if number % 40 == 20 else None
    assert score(tmp_path, server, retries=12) == undisturbed


@pytest.mark.parametrize("at", [1, 30, 90])
def test_a_server_that_dies_stops_the_stage_with_one_error_and_a_rerun_pays_for_the_rest_only(
    tmp_path: Path, server: FakeServer, undisturbed: str, at: int
) -> None:
    server.before_reply = lambda number: server.stop() if number == at else None
    with pytest.raises(ServerUnavailable, match=rf"{server.url}.*run again"):
        score(tmp_path, server, retries=2)
    asked = len(server.bodies)
    server.before_reply = lambda number: None
    server.start()
    assert score(tmp_path, server) == undisturbed
    distinct = {(body["seed"], str(body["messages"])) for body in server.bodies}
    assert len(server.bodies) - len(distinct) <= 4, "only what was in flight is asked for twice"
    assert asked >= at


def test_a_server_that_stalls_for_good_is_one_error(tmp_path: Path, server: FakeServer) -> None:
    server.faults.extend([stall] * 50)
    with pytest.raises(ServerUnavailable, match=r"no whole reply within 0\.2 s"):
        score(tmp_path, server, retries=1, timeout_seconds=0.2)


def test_a_wrong_model_name_is_one_error_and_corrected_goes_on(
    tmp_path: Path, server: FakeServer, undisturbed: str
) -> None:
    server.model = "another"
    with pytest.raises(ModelUnusable, match=r"it has another; correct `served_name`"):
        score(tmp_path, server)
    server.model = MODEL
    assert score(tmp_path, server) == undisturbed


def test_the_key_is_in_nothing_that_a_campaign_writes(tmp_path: Path, server: FakeServer) -> None:
    server.faults.extend([status(500, f"bad {KEY}")] * 50)
    with pytest.raises(DeltaloopError) as told:
        score(tmp_path, server, retries=1)
    assert "bad ***" in str(told.value)
    server.faults.clear()
    score(tmp_path, server)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "ledger.db" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
