"""Whether the estimates can be trusted: false shares of the tested zero-delta rule, coverage of the intervals."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from policies.distances import NAMES, distances
from policies.estimators import estimate
from policies.tables import count_tables
from policies.zero_delta import benjamini_hochberg, p_values, plug_in_zero
from scripts.scoring.shapes import SHAPES, SMOOTHING, SimulatedPool, draw, make_pool, null_pool

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
            tables = count_tables(*codes(pool, 16, 16, rng))
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
            tables = count_tables(*codes(pool, n, m, rng))
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


def codes(pool: SimulatedPool, n: int, m: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Class codes of n student and m teacher samples of each prompt."""
    return draw(pool.student, n, rng), draw(pool.teacher, m, rng)


def print_calibration(found: dict, replicates: int) -> None:
    """Both tables."""
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
