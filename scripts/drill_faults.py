"""Drill of faults: `python -m scripts.drill_faults [--only NAME ...] [--set KEY=VALUE]`.

    half         the smoke campaign, ended by a limit in its first Δ measurement: every fault begins from a copy of it
    undisturbed  a copy that goes on without a fault: the fingerprint to come to
    fault        a copy meets the fault; then the fault is taken away, and the same command goes on

A fault is survived if it does no harm at all, or ends in exit code 1 with one line; and if the run afterwards, for a
broken ledger after `restore` of the backup, comes to the undisturbed fingerprint. A disk of its own (full, read-only)
is a tmpfs, which needs root. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from scripts.drill_crash import SMOKE, Controller, Place, facts_of, load_libraries
from store.backup import back_up, restore
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.ledger import Ledger

HALF = ("--set", "limits.samples={ score = 1 }")
NO_FLOOR = ("--set", "limits.free_disk_mb=0")
HOUR_S = 3600
DISK_MB = 600  # a smoke campaign with its MLflow database needs about a tenth


@dataclass(frozen=True)
class Met:
    """How a run ended that met a fault."""

    code: int
    told: str
    """Its error, or else its last line."""
    is_clear: bool
    """It went on as if nothing were, or ended with code 1 and without a traceback."""


def run(home: Path, campaign: Sequence[str], prepare: Callable[[], object] = lambda: None) -> Met:
    """Run the campaign in a home."""
    place = Place(home, f"sqlite:///{home / 'ledger.db'}")
    log = home.with_suffix(".log")
    log.unlink(missing_ok=True)
    code = Controller(place, campaign, prepare).wait()
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith("error:")), lines[-1] if lines else "")
    return Met(code, told, code == 0 or (code == 1 and "Traceback" not in text))


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A small file system of its own, mounted at a folder."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    """Change how a file system is mounted."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def full(half: Path, home: Path, campaign: Sequence[str]) -> tuple[Met, Path]:
    """The disk has 200 kB left, and no floor keeps stages from starting."""
    shutil.copytree(half, home, dirs_exist_ok=True)
    remount(home, f"size={shutil.disk_usage(home).used // 1024 + 200}k")
    met = run(home, [*campaign, *NO_FLOOR])
    remount(home, f"size={DISK_MB}m")
    return met, home


def read_only(half: Path, home: Path, campaign: Sequence[str]) -> tuple[Met, Path]:
    """Nothing can be written, as on a disk that the system has remounted after an error."""
    shutil.copytree(half, home, dirs_exist_ok=True)
    remount(home, "ro")
    met = run(home, campaign)
    remount(home, "rw")
    return met, home


def clock_back(half: Path, home: Path, campaign: Sequence[str]) -> tuple[Met, Path]:
    """The clock was set back by an hour between two runs: all that is recorded is an hour ahead."""
    shutil.copytree(half, home)
    with closing(sqlite3.connect(home / "ledger.db")) as ledger:
        ledger.execute("UPDATE leases SET expires = expires + ?", (HOUR_S,))
        ledger.commit()
    for file in home.rglob("*"):
        changed = file.stat().st_mtime + HOUR_S
        os.utime(file, (changed, changed))
    return run(home, campaign), home


def clock_steps(half: Path, home: Path, campaign: Sequence[str]) -> tuple[Met, Path]:
    """While it runs, the clock is set forward by an hour, and later back by two."""
    shutil.copytree(half, home)
    return run(home, campaign, lambda: threading.Thread(target=_step_clock, daemon=True).start()), home


def _step_clock() -> None:
    """Set the clock of this process, as far as Python sees it: the time of the day moves, monotonic clocks do not."""
    import time_machine

    for step_s in (HOUR_S, -2 * HOUR_S):
        time.sleep(1.0)
        time_machine.travel(time.time() + step_s, tick=True).start()


def few_files(half: Path, home: Path, campaign: Sequence[str]) -> tuple[Met, Path]:
    """No more than 64 files may be open."""
    shutil.copytree(half, home)
    return run(home, campaign, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))), home


def broken_page(half: Path, home: Path, campaign: Sequence[str]) -> tuple[Met, Path]:
    """A page in the middle of the ledger is noise; a backup is at hand."""
    shutil.copytree(half, home)
    archive = home.with_suffix(".tar")
    with Ledger(home / "ledger.db") as ledger:
        back_up(ledger, FileBlobs(home / "blobs"), FileCheckpoints(home / "checkpoints"), home / "index", archive)
    with closing(sqlite3.connect(home / "ledger.db")) as ledger:
        ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = ledger.execute("SELECT rootpage FROM sqlite_master WHERE name = 'rollouts'").fetchone()
        (size,) = ledger.execute("PRAGMA page_size").fetchone()
    with (home / "ledger.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    met = run(home, campaign)
    restored = home.with_name("restored")
    restore(archive, restored, None)
    return met, restored


def short_blob(half: Path, home: Path, campaign: Sequence[str]) -> tuple[Met, Path]:
    """The output of a completed stage is cut short; then its copy is put back."""
    shutil.copytree(half, home)
    with closing(sqlite3.connect(home / "ledger.db")) as ledger:
        (digest,) = ledger.execute("SELECT output FROM stages WHERE name = 'pool'").fetchone()
    path = FileBlobs(home / "blobs").path(digest)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    met = run(home, campaign)
    path.write_bytes(whole)
    return met, home


def no_index(half: Path, home: Path, campaign: Sequence[str]) -> tuple[Met, Path]:
    """The index is deleted."""
    shutil.copytree(half, home)
    shutil.rmtree(home / "index", ignore_errors=True)
    return run(home, campaign), home


FAULTS = {
    one.__name__: one
    for one in (full, read_only, clock_back, clock_steps, few_files, broken_page, short_blob, no_index)
}
ON_A_DISK = (full, read_only)


def drill(names: Sequence[str], campaign: Sequence[str], folder: Path) -> dict[str, bool]:
    """Whether each fault was survived."""
    half, calm = folder / "half", folder / "calm"
    met = run(half, [*campaign, *HALF])
    if met.code:
        raise SystemExit(f"the campaign does not run at all: {met.told}")
    shutil.copytree(half, calm)
    run(calm, campaign)
    goal = facts_of(Place(calm, f"sqlite:///{calm / 'ledger.db'}")).fingerprint
    survived = {}
    for name in names:
        fault, home = FAULTS[name], folder / name
        with disk(home) if fault in ON_A_DISK else nullcontext():
            survived[name] = _survived(*fault(half, home, campaign), campaign, goal)
    return survived


def _survived(met: Met, home: Path, campaign: Sequence[str], goal: str) -> bool:
    again = met if met.code == 0 else run(home, campaign)
    found = facts_of(Place(home, f"sqlite:///{home / 'ledger.db'}"))
    identical = found.fingerprint == goal and not found.problems
    print(f"{home}: exit {met.code}, {met.told}\n    afterwards: exit {again.code}, identical {identical}", flush=True)
    return met.is_clear and again.code == 0 and identical


def main() -> None:
    """Run the drill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME")
    parser.add_argument("--campaign", type=Path, default=SMOKE, metavar="FILE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="As for `deltaloop run`.")
    options = parser.parse_args()
    changes = [word for change in ("models.threads=1", *options.set) for word in ("--set", change)]
    load_libraries()
    with tempfile.TemporaryDirectory() as folder:
        survived = drill(options.only, [str(options.campaign), *changes], Path(folder))
    print(json.dumps({"faults": len(survived), "survived": sum(survived.values()), "by_fault": survived}))


if __name__ == "__main__":
    main()
