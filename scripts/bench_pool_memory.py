"""Memory that holding a pool takes: `python -m scripts.bench_pool_memory [--prompts 20000] [--dimension 192] ...`.

A ledger is filled with random prompts, vectors and rollouts; then a fresh process holds what a run holds, at its most:
prompts, index and vectors while targeting, rollouts of both sides, without their texts, while scoring. What its peak
has grown by is compared with what `limits.memory_mb` is compared with. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from loop.pool_memory import Pool
from scripts.memory import peak_mb
from store.index import PoolIndex
from store.ledger import Ledger
from store.records import Origin, Prompt, Role, Rollout, RolloutStatus, Version

POOL, EMBEDDER, SAMPLING = "bench", "bench", "5a" * 32
SIDES = (Version("t" * 64, Role.TEACHER, "bench:teacher"), Version("s" * 64, Role.STUDENT, "bench:student"))
BATCH = 500
"""Prompts that are written at a time."""


def fill(folder: Path, options: argparse.Namespace) -> None:
    """A ledger with the pool, its vectors, and `samples` rollouts of each side."""
    rng = np.random.default_rng(0)
    with Ledger(folder / "ledger.db") as ledger:
        for side in SIDES:
            ledger.add_version(side)
        for start in range(0, options.prompts, BATCH):
            numbers = range(start, min(start + BATCH, options.prompts))
            prompts = [_prompt(number, options.characters) for number in numbers]
            vectors = rng.standard_normal((len(prompts), options.dimension)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            ledger.add_prompts(prompts, pool=POOL)
            ledger.add_embeddings(EMBEDDER, dict(zip([prompt.id for prompt in prompts], vectors, strict=True)))
            ledger.add_rollouts([row for prompt in prompts for row in _rollouts(prompt, options.samples)])


def hold(folder: Path) -> None:
    """Hold what a run holds; prints by how many MB the peak has grown, when the index is open, and in the end."""
    before = peak_mb()
    with Ledger(folder / "ledger.db") as ledger:
        ids = [prompt.id for prompt in ledger.pool(POOL)]
        index = PoolIndex.open(folder, "bench", ledger.embeddings(EMBEDDER, ids))
        opened = peak_mb() - before
        prompts = ledger.pool(POOL)
        sides = [ledger.rollouts(side.id, SAMPLING, ids, texts=False) for side in SIDES]
        held = ledger.embeddings(EMBEDDER, ids)
        matrix = np.stack([held[id] for id in ids])
        assert len(index) == len(matrix) == len(prompts) == len(sides[1])
    print(json.dumps({"index_mb": opened, "peak_mb": peak_mb() - before}))


def _prompt(number: int, characters: int) -> Prompt:
    return Prompt.make(f"{number} ".ljust(characters, "?"), ("ab" * 32,), Origin.SEED, attributes={"family": "read"})


def _rollouts(prompt: Prompt, num: int) -> list[Rollout]:
    return [
        Rollout(prompt.id, side.id, SAMPLING, i, i, "text " * 40, RolloutStatus.ANSWERED, str(i % 3), str(i % 3), 400)
        for side in SIDES
        for i in range(num)
    ]


def main() -> None:
    """Fill, hold, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("prompts", 20_000), ("dimension", 192), ("samples", 16), ("characters", 80)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--hold", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hold:
        hold(options.hold)
        return
    with tempfile.TemporaryDirectory(prefix="deltaloop-bench-") as folder:
        fill(Path(folder), options)
        command = [sys.executable, "-m", "scripts.bench_pool_memory", "--hold", folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        with Ledger(Path(folder) / "ledger.db") as ledger:
            num, characters = ledger.pool_size(POOL)
    foreseen = Pool(num, characters, options.dimension, 2 * options.samples).num_bytes / 1e6
    found = json.loads(done.stdout)
    share = {"measured_to_foreseen": round(found["peak_mb"] / foreseen, 2)}
    told = {"prompts": num, "foreseen_mb": round(foreseen), **{name: round(mb) for name, mb in found.items()}}
    print(json.dumps(told | share))


if __name__ == "__main__":
    main()
