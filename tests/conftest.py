"""Fixtures that several test files share, and what is done about missing tools.

A test that needs more than `make test` installs is skipped with a reason that says `make test-tools`; with
DELTALOOP_REQUIRE_TOOLS set, as in CI, such a skip is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from scripts.postgresql_server import PostgresqlServer, running_server

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # the environment of vLLM, which reads this file too, has none
    pass
else:  # here, since a test takes the profile that is loaded when its file is read
    settings.register_profile(
        "suite", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("suite")

if TYPE_CHECKING:
    from tests.vllm_environment.serving import Served

ROOT = Path(__file__).resolve().parents[1]
SMOKE = ROOT / "scripts" / "campaigns" / "smoke.toml"
TOOLS = "make test-tools"
REQUIRE_TOOLS = "DELTALOOP_REQUIRE_TOOLS"

NETWORK_LOG = "network.txt"
NETWORK_WATCH = """
import socket, sys

def watch(event, args):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and args[0].family != socket.AF_UNIX):
        with open({log!r}, "a") as log:
            print(event, args[1:] if event == "socket.connect" else args, file=log)

sys.addaudithook(watch)
"""
"""Runs before anything else in a process that is watched."""


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Calls(Protocol):
    """Runs a command in this process: for what needs no process of its own."""

    def __call__(self, *arguments: str | Path, **environment: str) -> Ran: ...


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Calls the program's entry point with arguments and environment variables."""
    from loop import cli, logs

    def run(*arguments: str | Path, **environment: str) -> Ran:
        with monkeypatch.context() as patch, warnings.catch_warnings():
            patch.delenv("DELTALOOP_LEDGER", raising=False)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["deltaloop", *map(str, arguments)])
            code = 0
            try:
                cli.main()
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                logs.end()
        shown = capsys.readouterr()
        return Ran(code, shown.out, shown.err)

    return run


def deltaloop(*arguments: str | Path, cwd: Path = ROOT, **environment: str) -> Ran:
    """Run the installed command, as a user does."""
    command = [Path(sys.executable).parent / "deltaloop", *map(str, arguments)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("DELTALOOP_")} | environment
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def smoke_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the smoke campaign has run. Who changes it copies it first.

    Beside it is `NETWORK_LOG`, if the run tried to reach the network.
    """
    folder = tmp_path_factory.mktemp("smoke")
    watch = folder / "watch"
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(NETWORK_WATCH.format(log=str(folder / NETWORK_LOG)), encoding="utf-8")
    return run_smoke(
        folder / "home", PYTHONPATH=os.pathsep.join([str(watch), *filter(None, [os.environ.get("PYTHONPATH")])])
    )


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The embedded teacher behind a real `vllm serve`, and a version that is an adapter on it.

    Half a minute to start, so one for the whole suite.
    """
    from tests.tiny_models import adapted, version_of
    from tests.vllm_environment.serving import NEEDED, PYTHON, serving

    if not PYTHON.exists():
        pytest.skip(NEEDED)
    folder = ROOT / "loop" / "embedded" / "teacher"
    place = tmp_path_factory.mktemp("vllm")
    adapters = {"adapted": Path(adapted(place / "adapted", version_of(folder), seed=1).source)}
    with serving(folder, place / "server.log", name="teacher", adapters=adapters) as served:
        yield served


def run_smoke(home: Path, **environment: str) -> Path:
    """Run the smoke campaign in a fresh home: half a minute, so at most three times in the whole suite."""
    done = deltaloop("run", SMOKE, "--home", home, **environment)
    assert done.code == 0, done.err
    return home


BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """An embedded PostgreSQL server, started for the first test that asks for it."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgresql: PostgresqlServer) -> str:
    """The URL of a ledger on the embedded server, which tests share: see `postgresql_ledger`."""
    from store.ledger import Ledger

    url = postgresql.new_database()
    Ledger(url).close()
    return url


@pytest.fixture
def postgresql_ledger(migrated: str) -> str:
    """The URL of an empty ledger on the embedded server: to empty one is quicker than to make another."""
    empty(migrated)
    return migrated


@pytest.fixture(params=BACKENDS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty ledger can be opened: a test that asks for it runs on every database that keeps ledgers."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    url: str = request.getfixturevalue("postgresql_ledger")
    return url


def empty(url: str) -> None:
    """Delete all facts of a ledger."""
    from store.database import Database
    from store.tables import Row

    database = Database(url)
    with database.writing() as connection:
        for table in reversed(Row.metadata.sorted_tables):
            connection.execute(table.delete())
    database.close()


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes share the suite: a file stays whole, for its fixtures; files that serve vLLM stay together."""
    serving = {path for path in {item.path for item in items} if "vllm_server" in path.read_text(encoding="utf-8")}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("vllm" if item.path in serving else str(item.path)))


def _fail_if_tools_are_missing(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get(REQUIRE_TOOLS) and report.skipped and TOOLS in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, but {REQUIRE_TOOLS} is set: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_tools_are_missing(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_tools_are_missing(report)
    return report
