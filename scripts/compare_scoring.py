"""Does adaptive scoring cost the student anything? The same campaign with fixed and with adaptive scoring, by seed.

    python -m scripts.compare_scoring --seeds 5 [--campaign FILE] [--home DIR] [--arms fixed adaptive] [--set KEY=VALUE]

Each arm of a seed has a home of its own: neither profits from what the other has drawn. Prints a row an arm, the
samples of scoring, and the paired difference of the kept students with its 90 % interval (bootstrap over seeds and
questions); the last line is JSON. A home that holds a finished arm is not computed again: the script resumes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from loop.config import load_settings
from scripts.campaign_arms import Outcome, paired_difference, run_arm

ARMS = ("fixed", "adaptive")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the arms, print the comparison."""
    options = _parse(arguments)
    outcomes: dict[str, list[Outcome]] = {arm: [] for arm in options.arms}
    for seed in range(options.seeds):
        for arm in options.arms:
            own = [*options.set, f"seed={seed}", f"pool.seed={seed}", f'scoring.rule="{arm}"']
            outcome = run_arm(load_settings(options.campaign, own), arm, options.home / f"{arm}-{seed}")
            outcomes[arm].append(outcome)
            print(f"seed {seed}, {arm}: {outcome.report.mean:.3f} after {_samples([outcome]):.0f} samples", flush=True)
    if set(options.arms) == set(ARMS):
        print(json.dumps(_summary(outcomes)))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--campaign", type=Path, default=Path("scripts/campaigns/embedded.toml"))
    parser.add_argument("--home", type=Path, default=Path("mlruns/scoring"))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args(arguments)


def _samples(outcomes: Sequence[Outcome]) -> float:
    """Mean number of samples that a campaign drew to measure Δ, of both models, reporting samples included."""
    return float(np.mean([sum(row.teacher_samples + row.student_samples for row in one.spent) for one in outcomes]))


def _summary(outcomes: dict[str, list[Outcome]]) -> dict[str, float]:
    difference, low, high = paired_difference(outcomes["adaptive"], outcomes["fixed"])
    means = {arm: float(np.mean([row.report.mean for row in rows])) for arm, rows in outcomes.items()}
    student = {
        arm: float(np.mean([sum(r.student_samples for r in one.spent) for one in outcomes[arm]])) for arm in ARMS
    }
    print(f"adaptive - fixed = {difference:+.3f} [{low:+.3f}, {high:+.3f}]")
    return {
        "fixed": means["fixed"],
        "adaptive": means["adaptive"],
        "difference": difference,
        "low": low,
        "high": high,
        "student_samples_ratio": student["adaptive"] / student["fixed"],
        "samples_ratio": _samples(outcomes["adaptive"]) / _samples(outcomes["fixed"]),
        "seeds": len(outcomes["fixed"]),
    }


if __name__ == "__main__":
    main()
