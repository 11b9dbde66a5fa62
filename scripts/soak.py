"""Soak: hundreds of rounds with fake models in one process; does memory, or do files or threads, grow?

    python -m scripts.soak [--rounds 500] [--home DIR] [--figure FILE]

The store is real (SQLite, blobs, checkpoints, index), the models are those of `tests.fakes`. Each round samples,
trains, evaluates, and admits a few prompts. Bounds, from the first tenth of the rounds to the last: no more open files,
no more threads, and at most `KB_PER_PROMPT` of resident memory for each prompt that joined the pool and `KB_PER_ROUND`
for each round. The last line is JSON; exit code 1 if a bound is crossed.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
from matplotlib.figure import Figure

from loop.campaign import run_campaign
from loop.ports import Ledger
from tests.fakes import ListTracker, fake_ports, fake_settings

KB_PER_PROMPT = 8
"""Twice what docs/reliability.md says that a prompt of the pool takes in memory."""
KB_PER_ROUND = 16
"""Pages of allocator and of SQLite's cache that are not given back."""


@dataclass(frozen=True)
class Load:
    """Of this process, at the end of a round."""

    round: int
    prompts: int
    """In the pool."""
    memory_kb: int
    """Resident."""
    files: int
    threads: int


class Gauge(ListTracker):
    """Notes the load of the process at the end of each round, and nothing else."""

    def __init__(self, ledger: Ledger, pool: str) -> None:
        super().__init__()
        self.loads: list[Load] = []
        self._ledger = ledger
        self._pool = pool
        self._process = psutil.Process()

    def stage_ended(self, campaign: str, round: int, stage: str, output: object, seconds: float) -> None:
        """Forget it: what a tracker keeps is not what is measured."""

    def round_ended(self, campaign: str, round: int, status: str) -> None:
        """Measure."""
        memory = self._process.memory_info().rss // 1024
        prompts = len(self._ledger.pool(self._pool))
        self.loads.append(Load(round, prompts, memory, self._process.num_fds(), self._process.num_threads()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the rounds, print what grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--home", type=Path, help="by default a folder that is removed at the end")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        loads = soak(options.home or Path(folder), options.rounds)
    if options.figure is not None:
        options.figure.write_bytes(draw(loads))
    verdict = judge(loads)
    print(json.dumps(verdict))
    if not verdict["bounded"]:
        sys.exit(1)


def soak(home: Path, rounds: int) -> list[Load]:
    """The load at the end of each round."""
    settings = fake_settings(
        rounds=rounds,
        synthesis={"seed_guided": 3, "skill_guided": 3},
        promotion={"patience": rounds + 1, "min_delta_share": 0.0},
    )
    ports, student, teacher = fake_ports(home)
    gauge = Gauge(ports.ledger, settings.pool.name)
    run_campaign(settings, replace(ports, tracker=gauge), student, teacher)
    return gauge.loads


def judge(loads: Sequence[Load]) -> dict[str, object]:
    """What grew after the first tenth, and whether that is within the bounds."""
    first, last = loads[len(loads) // 10], loads[-1]
    rounds, prompts = last.round - first.round, last.prompts - first.prompts
    grown_kb = last.memory_kb - first.memory_kb
    allowed_kb = KB_PER_PROMPT * prompts + KB_PER_ROUND * rounds
    return {
        "rounds": last.round,
        "prompts": last.prompts,
        "memory_mb": round(last.memory_kb / 1024, 1),
        "grown_kb_per_round": round(grown_kb / max(rounds, 1), 2),
        "allowed_kb_per_round": round(allowed_kb / max(rounds, 1), 2),
        "files": last.files,
        "grown_files": last.files - first.files,
        "threads": last.threads,
        "grown_threads": last.threads - first.threads,
        "bounded": grown_kb <= allowed_kb and last.files <= first.files and last.threads <= first.threads,
    }


def draw(loads: Sequence[Load]) -> bytes:
    """PNG: memory, open files and threads over rounds."""
    figure = Figure(figsize=(8.0, 4.5), dpi=100, layout="constrained")
    memory, counts = figure.subplots(2, 1, sharex=True)
    rows = [asdict(load) for load in loads]
    rounds = [row["round"] for row in rows]
    memory.plot(rounds, [row["memory_kb"] / 1024 for row in rows], color="#0072B2")
    memory.set(ylabel="resident memory, MB", ylim=(0, None))
    for name, colour, style in (("files", "#0072B2", "-"), ("threads", "#D55E00", "--")):
        counts.plot(rounds, [row[name] for row in rows], color=colour, linestyle=style, label=name)
    counts.set(xlabel="round", ylim=(0, None))
    counts.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


if __name__ == "__main__":
    main()
