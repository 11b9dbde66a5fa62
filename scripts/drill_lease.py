"""Drill of the lease with real processes: `python -m scripts.drill_lease [--starts 20] [--backend sqlite|postgresql]`.

    together    two controllers at once, many times: exactly one works
    killed      the owner is killed: another takes over at once on this host, after the lease's end from elsewhere
    stopped     the owner is stopped (SIGSTOP), loses its lease, wakes up: it writes nothing more

Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.lease_worker import CAMPAIGN
from store.database import Database
from store.errors import LedgerUnusable
from store.ledger import Ledger

ROOT = Path(__file__).resolve().parents[1]


class Worker:
    """A process of `scripts.lease_worker`, loaded and waiting for its start."""

    def __init__(self, url: str, lease_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scripts.lease_worker", url, str(lease_s)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.said() == "ready"

    def start(self) -> None:
        """Let it try to get the lease."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def said(self) -> str:
        """Its next line; waits for it."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def workers(num: int, url: str, lease_s: float) -> Iterator[list[Worker]]:
    """Some workers, killed at the end."""
    with ExitStack() as stack:
        made = []
        for _ in range(num):
            made.append(Worker(url, lease_s))
            stack.callback(made[-1].close)
        yield made


def together(url: str) -> list[str]:
    """What two workers say that start at once, the working one first."""
    with workers(2, url, 30.0) as pair:
        for worker in pair:
            worker.start()
        return sorted(worker.said() for worker in pair)


def killed(url: str, *, lease_s: float = 30.0, elsewhere: bool = False) -> float:
    """Seconds from the death of the owner, on this host or seemingly on another, until the next one works."""
    with workers(2, url, lease_s) as (first, second):
        first.start()
        assert first.said() == "held"
        first.process.kill()
        since = time.monotonic()
        if elsewhere:
            _move(url)
        while True:
            second.start()
            if second.said() == "held":
                return time.monotonic() - since
            time.sleep(0.1)


@dataclass(frozen=True)
class Stopped:
    """What became of an owner that was stopped and has lost its lease."""

    before: int
    """Its writes when it was stopped."""
    after: int
    """Its writes in the end."""
    last_words: str
    code: int


def stopped(url: str, *, lease_s: float = 1.0) -> Stopped:
    """Stop the owner, let another take over, and wake the first one."""
    with workers(2, url, lease_s) as (first, second):
        first.start()
        assert first.said() == "held"
        time.sleep(0.3)
        _stop_between_transactions(first, url)
        before = _writes(url, first.process.pid)
        time.sleep(1.5 * lease_s)
        second.start()
        assert second.said() == "held"
        first.process.send_signal(signal.SIGCONT)
        last_words = first.said()
        code = first.process.wait(60)
        return Stopped(before, _writes(url, first.process.pid), last_words, code)


def _stop_between_transactions(worker: Worker, url: str) -> None:
    """A process that stops within a transaction keeps its lock: on PostgreSQL for a while, on SQLite until it wakes."""
    database = Database(url, busy_timeout_s=0.2)
    while True:
        worker.process.send_signal(signal.SIGSTOP)
        try:
            with database.writing():
                break
        except LedgerUnusable:
            worker.process.send_signal(signal.SIGCONT)
            time.sleep(0.1)
    database.close()


def _move(url: str) -> None:
    """Let the owner of the lease look like one of another host, of which nobody here can know whether it is alive."""
    database = Database(url)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE leases SET host = 'elsewhere', boot = 'elsewhere'")
    database.close()


def _writes(url: str, pid: int) -> int:
    database = Database(url)
    with database.reading() as connection:
        num = connection.exec_driver_sql(f"SELECT count(*) FROM plans WHERE key LIKE '{pid}/%%'").scalar_one()
    database.close()
    return int(num)


def drill(url: str, starts: int) -> dict[str, object]:
    """All three; prints what happens."""
    Ledger(url).close()
    exactly_one = 0
    for number in range(starts):
        said = together(url)
        exactly_one += said[0] == "held" and said[1].startswith(f"refused: campaign `{CAMPAIGN}` is run by process")
        print(f"start {number + 1}: {said[0]}; {said[1]}", flush=True)
    same_host, lease_s = killed(url), 5.0
    from_elsewhere = killed(url, lease_s=lease_s, elsewhere=True)
    print(
        f"take-over: {same_host:.2f} s on the same host, {from_elsewhere:.2f} s from elsewhere (lease {lease_s:.0f} s)"
    )
    paused = stopped(url)
    print(f"stopped owner: {paused.before} writes when stopped, {paused.after} in the end; it said {paused.last_words}")
    return {
        "starts": starts,
        "exactly_one": exactly_one,
        "take_over_s": round(same_host, 2),
        "take_over_elsewhere_s": round(from_elsewhere, 2),
        "lease_s": lease_s,
        "late_writes": paused.after - paused.before,
    }


def main() -> None:
    """Run the drill on one kind of ledger."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--backend", choices=["sqlite", "postgresql"], default="sqlite")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        if chosen.backend == "postgresql":
            from scripts.postgresql_server import running_server

            url = stack.enter_context(running_server()).new_database()
        else:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/ledger.db"
        found = drill(url, chosen.starts)
    print(json.dumps(found | {"backend": chosen.backend}))


if __name__ == "__main__":
    main()
