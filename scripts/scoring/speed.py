"""How long all estimators and both zero-delta rules take on a large pool, beside a plain loop over prompts."""

from __future__ import annotations

import math
import time
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from policies.estimators import Estimates, estimate
from policies.tables import Tables, count_tables
from policies.zero_delta import benjamini_hochberg
from scripts.memory import peak_mb
from scripts.scoring.calibration import FDR, LEVEL, codes
from scripts.scoring.shapes import SHAPES, SMOOTHING, make_pool


def speed(*, prompts: int, seed: int) -> dict:
    """Seconds on the clock and peak memory for a pool of 2 x 16 int16 codes, the worst over the shapes.

    On a busy machine the seconds of processor time, beside them in the table, say more than the clock's.
    """
    rows = [_speed_of(shape, prompts, seed) for shape in SHAPES]
    return {
        "seconds_200k": max(row["wall"] for row in rows),
        "peak_mb": peak_mb(),
        "loop_ratio": min(row["loop_ratio"] for row in rows),
        "speed_rows": rows,
    }


def _speed_of(shape: str, prompts: int, seed: int) -> dict:
    rng = np.random.default_rng([seed, SHAPES.index(shape), 3])
    pool = make_pool(shape, 10_000, rng)
    rounds = -(-prompts // 10_000)
    parts = [codes(pool, 16, 16, rng) for _ in range(rounds)]
    student, teacher = (np.concatenate(side)[:prompts] for side in zip(*parts, strict=True))
    clock, processor = time.perf_counter(), time.process_time()
    tables, _, declared = _everything(student, teacher)
    seconds, wall = time.process_time() - processor, time.perf_counter() - clock
    few = min(2_000, prompts)
    processor = time.process_time()
    for tried, taught in zip(student[:few].tolist(), teacher[:few].tolist(), strict=True):
        _one_prompt(tried, taught)
    loop = (time.process_time() - processor) / few * prompts
    kinds = {"shape": shape, "prompts": prompts, "tables": tables.num_distinct, "declared": int(declared.sum())}
    return {**kinds, "seconds": seconds, "wall": wall, "loop_seconds": loop, "loop_ratio": loop / seconds}


def _everything(student: NDArray, teacher: NDArray) -> tuple[Tables, Estimates, NDArray[np.bool_]]:
    tables = count_tables(student, teacher)
    found = estimate(tables, smoothing=SMOOTHING, level=LEVEL).by_prompt(tables)
    return tables, found, benjamini_hochberg(found.p_value, FDR)


def _one_prompt(tried: list[int], taught: list[int], permutations: int = 999) -> tuple[list[float], bool, float]:
    """The plain way: one prompt's four values, plug-in zero and a permutation test, without any interval."""
    rng = np.random.default_rng(0)
    n, m = len(tried), len(taught)
    ours, theirs = Counter(tried), Counter(taught)
    values = [0.0, 0.0, 0.0, 0.0]
    for answer in ours.keys() | theirs.keys():
        x, y = ours[answer], theirs[answer]
        p, q = x / n, y / m
        if p:
            values[0] += p * math.log(p / ((1 - SMOOTHING) * q + SMOOTHING * p))
            values[2] += p * math.log(2 * p / (p + q)) / 2
        if q:
            values[2] += q * math.log(2 * q / (p + q)) / 2
        values[1] += abs(p - q) / 2
        values[3] += x * (x - 1) / (n * (n - 1)) + y * (y - 1) / (m * (m - 1)) - 2 * x * y / (n * m)
    _, codes = np.unique(tried + taught, return_inverse=True)
    width = int(codes.max()) + 1
    shuffled = rng.permuted(np.tile(codes, (permutations, 1)), axis=1) + np.arange(permutations)[:, None] * width
    sides = [np.bincount(part.ravel(), minlength=permutations * width) for part in (shuffled[:, :n], shuffled[:, n:])]
    statistics = ((sides[0] / n - sides[1] / m) ** 2).reshape(permutations, width).sum(axis=1)
    observed = sum((ours[a] / n - theirs[a] / m) ** 2 for a in ours.keys() | theirs.keys())
    return values, ours == theirs, float((np.sum(statistics >= observed - 1e-12) + 1) / (permutations + 1))


def print_speed(found: dict) -> None:
    """A row for each shape."""
    print("all estimators and both zero-delta rules, one thread; the loop is timed on a subsample and scaled")
    print(f"  {'shape':10} {'prompts':>8} {'tables':>8} {'cpu s':>6} {'clock s':>7} {'loop s':>7} {'ratio':>6}")
    for row in found["speed_rows"]:
        times = f"{row['seconds']:6.2f} {row['wall']:7.2f} {row['loop_seconds']:7.0f} {row['loop_ratio']:6.0f}"
        print(f"  {row['shape']:10} {row['prompts']:8} {row['tables']:8} {times}")
    print(f"  peak memory of the process {found['peak_mb']:.0f} MB\n")
