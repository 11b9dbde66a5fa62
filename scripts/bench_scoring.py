"""Whether Δ can be trusted, and how long it takes: calibration and speed of the estimators on simulated pools.

    python -m scripts.bench_scoring [--replicates 200] [--prompts 200000] [--seed 0]

Three tables and a last line of JSON: false shares of the tested zero-delta rule over replicate pools, all-null and
mixed, with its power; coverage and width of the nominal 90 % intervals for each shape; seconds and memory for a large
pool, with the ratio to a plain loop over prompts. About four minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from policies.distances import NAMES, distances
from policies.estimators import Estimates, estimate
from policies.tables import Tables, count_tables
from policies.zero_delta import benjamini_hochberg, p_values, plug_in_zero
from scripts.scoring_shapes import SHAPES, SimulatedPool, draw, make_pool, null_pool

SMOOTHING = 0.05
LEVEL = 0.9
FDR = 0.05
POOL = 2_000
SIZES = ((16, 16), (8, 8), (8, 16), (16, 8))
LARGE = 0.4
"""Total variation from which a difference should be found: the prompts that `power` is about."""


def calibration(*, replicates: int, seed: int) -> dict:
    """False shares, power and coverage on pools of `POOL` prompts; numbers are the worst over the shapes."""
    false = [false_shares(shape, replicates, seed) for shape in SHAPES]
    covered = [row for shape in SHAPES for row in coverage(shape, max(1, replicates // 20), seed)]
    judged = [row for row in covered if (row["n"], row["m"]) == (16, 16)]
    worst_false = max(false, key=lambda row: max(row["null"] - 2 * row["null_se"], row["mixed"] - 2 * row["mixed_se"]))
    farthest = max((row["differing"] for row in judged), key=lambda share: abs(share - LEVEL))
    return {
        "fdr": max(worst_false["null"], worst_false["mixed"]),
        "fdr_rows": false,
        "fdr_holds": all(row[k] <= FDR + 2 * row[f"{k}_se"] for row in false for k in ("null", "mixed")),
        "power": min(row["power"] for row in false),
        "coverage": farthest,
        "coverage_low": min(row["differing"] for row in judged),
        "coverage_high": max(row["differing"] for row in judged),
        "coverage_same": min(row["same"] for row in judged),
        "coverage_rows": covered,
    }


def false_shares(shape: str, replicates: int, seed: int) -> dict:
    """Mean share of prompts with p = q among those declared to differ, on all-null and mixed pools; power on mixed."""
    rng = np.random.default_rng([seed, SHAPES.index(shape), 1])
    shares: dict[str, list[float]] = {"null": [], "mixed": []}
    found = Counter[str]()
    for _ in range(replicates):
        for kind, make in (("null", null_pool), ("mixed", make_pool)):
            pool = make(shape, POOL, rng)
            tables = count_tables(*_codes(pool, 16, 16, rng))
            declared = benjamini_hochberg(p_values(tables)[tables.of_prompt], FDR)
            shares[kind].append(float((declared & pool.zero).sum() / max(1, declared.sum())))
            large = pool.total_variation >= LARGE
            found["large"] += int(large.sum())
            found["declared"] += int((large & declared).sum())
            found[f"zero_{kind}"] += int(plug_in_zero(tables)[tables.of_prompt][pool.zero].sum())
            found[f"same_{kind}"] += int(pool.zero.sum())
    row: dict = {"shape": shape, "power": found["declared"] / found["large"]}
    for kind, values in shares.items():
        row[kind] = float(np.mean(values))
        row[f"{kind}_se"] = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    row["plug_in_zero"] = found["zero_null"] / found["same_null"]
    return row


def coverage(shape: str, pools: int, seed: int) -> list[dict]:
    """How often intervals hold the truth, and how wide they are, by sample counts and distance; over several pools."""
    rows = []
    for n, m in SIZES:
        rng = np.random.default_rng([seed, SHAPES.index(shape), 2, n, m])
        held: dict[tuple[str, str], list[NDArray]] = {}
        for _ in range(pools):
            pool = make_pool(shape, POOL, rng)
            tables = count_tables(*_codes(pool, n, m, rng))
            found = estimate(tables, smoothing=SMOOTHING, level=LEVEL).by_prompt(tables)
            truths = distances(pool.student, pool.teacher, SMOOTHING)
            for name, one, truth in zip(NAMES, found.distances(), truths, strict=True):
                inside, width = (one.low <= truth) & (truth <= one.high), one.high - one.low
                for key, values in (
                    ("differing", inside[~pool.zero]),
                    ("same", inside[pool.zero]),
                    ("below", (truth < one.low)[~pool.zero]),
                    ("width", width[~pool.zero]),
                    ("width_same", width[pool.zero]),
                    ("bias", (one.value - truth)[~pool.zero]),
                    ("bias_mean", (one.mean - truth)[~pool.zero]),
                ):
                    held.setdefault((name, key), []).append(values)
        for name in NAMES:
            means = {key: float(np.concatenate(values).mean()) for (of, key), values in held.items() if of == name}
            rows.append({"shape": shape, "n": n, "m": m, "distance": name, **means})
    return rows


def speed(*, prompts: int, seed: int) -> dict:
    """Seconds and memory for a pool of 2 x 16 int16 codes, the worst over the shapes.

    Seconds are of processor time of the one thread that works, which a busy machine changes less than the clock's.
    """
    rows = [_speed_of(shape, prompts, seed) for shape in SHAPES]
    return {
        "seconds_200k": max(row["seconds"] for row in rows),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "loop_ratio": min(row["loop_ratio"] for row in rows),
        "speed_rows": rows,
    }


def _speed_of(shape: str, prompts: int, seed: int) -> dict:
    rng = np.random.default_rng([seed, SHAPES.index(shape), 3])
    pool = make_pool(shape, 10_000, rng)
    rounds = -(-prompts // 10_000)
    parts = [_codes(pool, 16, 16, rng) for _ in range(rounds)]
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


def _codes(pool: SimulatedPool, n: int, m: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    return draw(pool.student, n, rng), draw(pool.teacher, m, rng)


def _print_calibration(found: dict, replicates: int) -> None:
    print(f"false share among the declared at level {FDR}, {replicates} pools of {POOL} prompts, 2 x 16 samples")
    print(f"  {'shape':10} {'all-null':>16} {'mixed':>16} {'power':>7} {'plug-in zero where p = q':>26}")
    for row in found["fdr_rows"]:
        null, mixed = (f"{row[k]:.4f} ± {row[k + '_se']:.4f}" for k in ("null", "mixed"))
        print(f"  {row['shape']:10} {null:>16} {mixed:>16} {row['power']:7.3f} {row['plug_in_zero']:26.3f}")
    print(f"  power: share declared of prompts with total variation >= {LARGE}")
    print(
        f"\ncoverage of nominal {LEVEL:.0%} intervals of the true distance (smoothing {SMOOTHING}); bias where p != q"
    )
    heads = f"{'p != q':>7} {'(below)':>8} {'p = q':>6} {'width':>6} {'at p = q':>8} {'bias':>7} {'of mean':>7}"
    print(f"  {'shape':10} {'n, m':>6} {'distance':17}{heads}")
    for row in found["coverage_rows"]:
        numbers = f"{row['differing']:7.3f} {row['below']:8.3f} {row['same']:6.3f} {row['width']:6.2f}"
        biases = f"{row['width_same']:8.2f} {row['bias']:+7.3f} {row['bias_mean']:+7.3f}"
        print(f"  {row['shape']:10} {row['n']:3},{row['m']:2} {row['distance']:17}{numbers} {biases}")
    print(
        f"  16, 16: {found['coverage_low']:.3f} to {found['coverage_high']:.3f}, p = q {found['coverage_same']:.3f}\n"
    )


def _print_speed(found: dict) -> None:
    print("all estimators and both zero-delta rules, one thread; the loop is timed on a subsample and scaled")
    print(f"  {'shape':10} {'prompts':>8} {'tables':>8} {'cpu s':>6} {'clock s':>7} {'loop s':>7} {'ratio':>6}")
    for row in found["speed_rows"]:
        times = f"{row['seconds']:6.2f} {row['wall']:7.2f} {row['loop_seconds']:7.0f} {row['loop_ratio']:6.0f}"
        print(f"  {row['shape']:10} {row['prompts']:8} {row['tables']:8} {times}")
    print(f"  peak memory of the process {found['peak_mb']:.0f} MB\n")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"seed {given.seed}\n")
    fast = speed(prompts=given.prompts, seed=given.seed)  # first: the peak is the process's
    _print_speed(fast)
    trusted = calibration(replicates=given.replicates, seed=given.seed)
    _print_calibration(trusted, given.replicates)
    fields = ("fdr", "fdr_holds", "power", "coverage", "coverage_low", "coverage_high", "coverage_same")
    line = {key: trusted[key] for key in fields} | {key: fast[key] for key in ("seconds_200k", "peak_mb", "loop_ratio")}
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in line.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
