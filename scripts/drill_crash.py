"""Drill of crashes: `python -m scripts.drill_crash [--kills 50] [--backend sqlite|postgresql] [--seed 0]`.

    undisturbed   the campaign runs once without a kill: its facts, and how long each stage takes
    disturbed     it is killed (SIGKILL, with its children) in one stage after the other, at a random moment of each,
                  and started again each time; when all stages have had one it runs to its end, and a fresh home is next
    compared      fingerprint and samples of each disturbed home with those of the undisturbed one

With PostgreSQL, one kill in five hits the database server instead: the controller must end by itself with one line.
Controllers are forked off a process that has loaded the libraries, which saves ten seconds a start; all that a killed
process can leave behind is in files and in the database, so it makes no other difference.

Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from loop.summary import OUTPUTS
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.database import Database
from store.errors import LedgerUnusable
from store.ledger import Ledger
from store.verify import verify

if TYPE_CHECKING:
    from scripts.postgresql_server import PostgresqlServer

ROOT = Path(__file__).resolve().parents[1]
SMOKE = ROOT / "scripts" / "campaigns" / "smoke.toml"
STARTING = "starting"
STAGES = (STARTING, *OUTPUTS)
ADAPTERS = tuple(
    f"loop.adapters.{name}"
    for name in ("engines", "trainer", "sources", "suites", "embedder", "procedural", "mlflow_tracker")
)
SERVER_EVERY = 5
POLL_S = 0.01
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Place:
    """A home and its ledger."""

    home: Path
    url: str

    def stages(self) -> dict[str, str]:
        """The status of each stage that was started, by name; empty while there is no ledger to read."""
        if self.url.startswith("sqlite") and not (self.home / "ledger.db").exists():
            return {}
        with closing(Database(self.url, busy_timeout_s=1.0)) as database:
            try:
                with database.reading() as connection:
                    rows = connection.exec_driver_sql("SELECT name, status FROM stages").all()
            except LedgerUnusable:  # not made yet, or the server is down
                return {}
        return {str(name): str(status) for name, status in rows}


@dataclass(frozen=True)
class Facts:
    """What a finished home holds."""

    fingerprint: str
    problems: tuple[str, ...]
    samples: Counter[tuple[str, str, str]]
    orphan_runs: int


class Controller:
    """A process that runs the campaign, in a session of its own."""

    def __init__(self, place: Place, campaign: Sequence[str], prepare: Callable[[], object] = lambda: None) -> None:
        """`prepare` runs in the new process, before anything else."""
        self.log = place.home.with_suffix(".log")
        self.pid = os.fork()
        self._code: int | None = None
        if self.pid == 0:
            prepare()
            _become(["run", *campaign, "--home", str(place.home), "--ledger", place.url], self.log)

    def code(self) -> int | None:
        """The exit code, or None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self) -> int:
        """Wait for its end."""
        until = time.monotonic() + PATIENCE_S
        while (code := self.code()) is None:
            if time.monotonic() > until:
                self.kill()
                raise SystemExit(f"a controller did not end within {PATIENCE_S:.0f} s; see {self.log}")
            time.sleep(POLL_S)
        return code

    def kill(self) -> None:
        """End it and its children at once."""
        if self.code() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()


def _become(arguments: list[str], log: Path) -> None:
    """Turn this forked process into the command; does not return."""
    code = 70
    try:
        os.setsid()
        with log.open("ab", buffering=0) as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        sys.argv = ["deltaloop", *arguments]
        from loop import cli

        cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def load_libraries() -> None:
    """What every controller loads, once."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    for name in ("loop.campaign", "loop.lease", "loop.cli", "mlflow", *ADAPTERS):
        importlib.import_module(name)


def undisturbed(place: Place, campaign: Sequence[str]) -> tuple[Facts, dict[str, float]]:
    """Run the campaign to its end: its facts, and the seconds of each stage and of the start."""
    begun = time.monotonic()
    controller = Controller(place, campaign)
    while controller.code() is None and not place.stages():
        time.sleep(POLL_S)
    starting = time.monotonic() - begun
    if controller.wait() != 0:
        raise SystemExit(f"the undisturbed run failed: {_last_line(controller.log)}")
    with Ledger(place.url) as ledger:
        rows = [stage for row in ledger.campaigns() for round in ledger.rounds(row.name) for stage in round.stages]
    return facts_of(place), {STARTING: starting} | {stage.name: stage.seconds for stage in rows}


def facts_of(place: Place) -> Facts:
    """The facts of a home in which the campaign is finished."""
    with Ledger(place.url) as ledger:
        found = verify(
            ledger,
            FileBlobs(place.home / "blobs"),
            FileCheckpoints(place.home / "checkpoints"),
            place.home / "index",
        )
        with ledger.database.reading() as connection:
            rows = connection.exec_driver_sql('SELECT version, prompt_id, "index" FROM rollouts').all()
    samples = Counter((str(version), str(id), str(index)) for version, id, index in rows)
    return Facts(found.fingerprint, found.problems, samples, _running_runs(place.home / "mlflow.db"))


def _running_runs(mlflow: Path) -> int:
    """How many runs MLflow shows as running; none where the campaign is not tracked."""
    if not mlflow.exists():
        return 0
    with closing(sqlite3.connect(mlflow)) as connection:
        return int(connection.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone()[0])


def reach(place: Place, controller: Controller, stage: str, wait_s: float) -> bool:
    """Wait until the controller is within a stage and `wait_s` further; False if it ended before."""
    later = STAGES[STAGES.index(stage) :]
    while stage != STARTING and not any(name in later for name in place.stages()):
        if controller.code() is not None:
            return False
        time.sleep(POLL_S)
    until = time.monotonic() + wait_s
    while time.monotonic() < until and controller.code() is None:
        time.sleep(POLL_S)
    return controller.code() is None


@dataclass
class Tally:
    """What the drill has seen."""

    hit: Counter[str] = field(default_factory=Counter)
    homes: int = 0
    server_kills: int = 0
    identical: bool = True
    duplicated_samples: int = 0
    orphan_runs: int = 0

    def compare(self, found: Facts, expected: Facts) -> None:
        """Take in a disturbed home that has come to its end."""
        self.homes += 1
        self.identical &= found.fingerprint == expected.fingerprint and not found.problems
        self.duplicated_samples += (found.samples - expected.samples).total()
        self.orphan_runs += found.orphan_runs
        same = "identical" if found.fingerprint == expected.fingerprint else "ANOTHER FINGERPRINT"
        print(f"home {self.homes}: {same}; {found.orphan_runs} runs left RUNNING", *found.problems, flush=True)


def moments(seed: int) -> Iterator[tuple[str, float]]:
    """One stage after the other, again and again, with a random moment of each as a share of what it takes."""
    draw = random.Random(seed)
    while True:
        for stage in STAGES:
            yield stage, draw.random()


def drill(
    places: Iterator[Place], campaign: Sequence[str], kills: int, seed: int, server: PostgresqlServer | None = None
) -> Tally:
    """Kill as often as that; prints what happens."""
    expected, seconds = undisturbed(next(places), campaign)
    print("undisturbed:", ", ".join(f"{name} {took:.1f} s" for name, took in seconds.items()), flush=True)
    tally, place, planned = Tally(), next(places), moments(seed)
    done = 0
    while done < kills:
        stage, share = next(planned)
        if stage == STARTING and done:
            tally.compare(finish(place, campaign), expected)
            place = next(places)
        controller = Controller(place, campaign)
        try:
            if not reach(place, controller, stage, share * seconds.get(stage, 0.1)):
                print(f"missed `{stage}`: the controller had ended with code {controller.code()}", flush=True)
                if controller.code() != 0:
                    raise SystemExit(f"a controller failed: {_last_line(controller.log)}")
                continue
            running = [name for name, status in place.stages().items() if status == "running"]
            done += 1
            if server is not None and done % SERVER_EVERY == 0:
                tally.server_kills += 1
                _kill_server(server, controller)
        finally:
            controller.kill()
        where = running[-1] if running else STARTING if stage == STARTING else "between stages"
        tally.hit[where] += 1
        print(f"kill {done}: aimed at `{stage}`, hit `{where}`", flush=True)
    tally.compare(finish(place, campaign), expected)
    return tally


def _kill_server(server: PostgresqlServer, controller: Controller) -> None:
    """Kill the database server; the controller must end with code 1 and one line."""
    server.crash()
    code = controller.wait()
    words = controller.log.read_text(encoding="utf-8", errors="replace")
    print(f"database server killed: the controller ended with code {code}: {_last_line(controller.log)}", flush=True)
    if code != 1 or "Traceback" in words:
        raise SystemExit(f"the controller ended with code {code}, or with a traceback; see {controller.log}")
    server.start_again()


def finish(place: Place, campaign: Sequence[str]) -> Facts:
    """Run the campaign to its end."""
    controller = Controller(place, campaign)
    if controller.wait() != 0:
        raise SystemExit(f"a controller failed after a kill: {_last_line(controller.log)}")
    return facts_of(place)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"


def main() -> None:
    """Run the drill on one kind of ledger."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--backend", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `deltaloop run`")
    chosen = parser.parse_args()
    overrides = ["models.threads=1", *chosen.set]
    campaign = [str(SMOKE), *(word for override in overrides for word in ("--set", override))]
    load_libraries()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deltaloop-crash-")))
        server = None
        if chosen.backend == "postgresql":
            from scripts.postgresql_server import running_server

            server = stack.enter_context(running_server())
        tally = drill(places(folder, server), campaign, chosen.kills, chosen.seed, server)
    for name in (*STAGES, "between stages"):
        print(f"{name:>18} {'#' * tally.hit[name]} {tally.hit[name]}")
    found = {
        "kills": chosen.kills,
        "server_kills": tally.server_kills,
        "homes": tally.homes,
        "stages_hit": sum(name in tally.hit for name in STAGES),
        "identical": tally.identical,
        "duplicated_samples": tally.duplicated_samples,
        "orphan_runs": tally.orphan_runs,
        "backend": chosen.backend,
        "seed": chosen.seed,
    }
    print(json.dumps(found))


def places(folder: Path, server: PostgresqlServer | None) -> Iterator[Place]:
    """Fresh homes, each with a fresh ledger."""
    number = 0
    while True:
        home = folder / f"home-{number}"
        yield Place(home, f"sqlite:///{home}/ledger.db" if server is None else server.new_database())
        number += 1


if __name__ == "__main__":
    main()
