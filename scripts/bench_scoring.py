"""Whether Δ can be trusted, what it costs in samples, and how long it takes to compute.

    python -m scripts.bench_scoring [--seed 0] [--seeds 5] [--parts speed calibration recorded simulated]
                                    [--replicates 200] [--prompts 20000] [--rounds 3] [--shapes S ...] [--large 200000]

speed        all estimators and both zero-delta rules on 200,000 prompts, beside a plain loop over prompts
calibration  false shares of the tested zero-delta rule over replicate pools, all-null and mixed, with its power;
             coverage and width of the nominal 90 % intervals
recorded     adaptive scoring against fixed numbers of samples, a GRESO-style skip and uniform choice, on rollouts of
             the embedded pair and of the students of its campaign's rounds
simulated    the same on pools of known distributions, under a student that moves as the recorded one did

The last line is JSON; each number in it is the worst over the shapes. All parts take about half an hour of one core;
`seconds_200k` wants a quiet one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scripts.scoring.calibration import calibration, print_calibration
from scripts.scoring.choice import moves, render, run_schemes, summarise, worst
from scripts.scoring.rounds import Round, load_recorded, recorded_rounds, simulated_rounds
from scripts.scoring.shapes import SHAPES
from scripts.scoring.speed import print_speed, speed

RECORDED = Path(__file__).parents[1] / "tests" / "assets" / "embedded_rollouts.npz"
PARTS = ("speed", "calibration", "recorded", "simulated")
LINE = ("fdr", "fdr_holds", "power", "coverage", "coverage_low", "coverage_high", "coverage_same")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, and the line."""
    options = _parse(arguments)
    seeds = range(options.seed, options.seed + options.seeds)
    print(f"seeds {[*seeds]}\n")
    line: dict[str, object] = {}
    if "speed" in options.parts:  # first: the peak of memory is the process's
        fast = speed(prompts=options.large, seed=options.seed)
        print_speed(fast)
        line |= {key: fast[key] for key in ("seconds_200k", "peak_mb", "loop_ratio")}
    if "calibration" in options.parts:
        trusted = calibration(replicates=options.replicates, seed=options.seed)
        print_calibration(trusted, options.replicates)
        line |= {key: trusted[key] for key in LINE}
    tables = {}
    if "recorded" in options.parts:
        arrays = load_recorded(options.recorded)
        tables["recorded"] = _compare("recorded", {seed: recorded_rounds(arrays, seed) for seed in seeds})
        line["quality_ratio_recorded"] = worst(tables)["quality_ratio"]
    if "simulated" in options.parts:
        for shape in options.shapes:
            pools = {seed: simulated_rounds(shape, options.prompts, options.rounds, seed) for seed in seeds}
            tables[shape] = _compare(shape, pools)
    if tables:
        line |= worst(tables)
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in line.items()}))


def _compare(name: str, pools: dict[int, Iterator[Round]]) -> list[dict[str, dict[str, float]]]:
    runs, seen = [], []
    for seed, pool in pools.items():
        rounds = list(pool)
        runs.append(run_schemes(rounds, seed))
        seen.append(moves(rounds))
    table = summarise(runs)
    print(render(name, table))
    steps = "; ".join(
        f"{kind}: {small:.2f} {middling:.2f} {large:.2f}"
        for kind, (small, middling, large) in zip(("small", "middling", "large"), np.mean(seen, axis=0), strict=True)
    )
    print(f"  Δ becomes small, middling, large in the next round, from {steps}", flush=True)
    return table


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--seeds", type=int, default=5, help="how many, where schemes are compared")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=200_000)
    parser.add_argument("--recorded", type=Path, default=RECORDED)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
