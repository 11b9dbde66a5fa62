"""Does adaptive scoring cost the student anything? The same campaign with fixed and with adaptive scoring, by seed.

    python -m scripts.compare_scoring --seeds 5 [--campaign FILE] [--home DIR] [--arms fixed adaptive]
                                      [--set KEY=VALUE] [--figure FILE]

Each arm of a seed has a home of its own: neither profits from what the other has drawn. Prints a row an arm with the
student's samples in the score stages, and the paired difference of the kept
students with its 90 % interval (bootstrap over seeds and questions); the last line is JSON. --figure FILE draws it. A
home that holds a finished arm is not computed again: the script resumes.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

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
            samples = outcome.scoring.student_samples
            print(f"seed {seed}, {arm}: {outcome.report.mean:.3f}, {samples} samples", flush=True)
    if set(options.arms) == set(ARMS):
        if options.figure is not None:
            options.figure.write_bytes(draw(outcomes))
        print(json.dumps(_summary(outcomes)))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--campaign", type=Path, default=Path("scripts/campaigns/embedded.toml"))
    parser.add_argument("--home", type=Path, default=Path("mlruns/scoring"))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--figure", type=Path)
    return parser.parse_args(arguments)


def draw(outcomes: dict[str, list[Outcome]]) -> bytes:
    """PNG: each arm's student over the samples that its scoring took; a line ties the arms of a seed."""
    figure = Figure(figsize=(8.0, 4.0), dpi=100, layout="constrained")
    axes = figure.subplots()
    points = {arm: [(row.scoring.student_samples, row.report.mean) for row in rows] for arm, rows in outcomes.items()}
    for pair in zip(*points.values(), strict=True):
        axes.plot(*zip(*pair, strict=True), color="#595959", linewidth=1, zorder=1)
    for (arm, spots), colour, mark in zip(points.items(), ("#0072B2", "#D55E00"), "os", strict=True):
        axes.scatter(*zip(*spots, strict=True), color=colour, marker=mark, label=arm, zorder=2)
    axes.set(xlabel="student samples drawn to measure Δ of the pool", ylabel="held-out accuracy of the kept student")
    axes.set_xlim(left=0)
    axes.legend(title="scoring.rule")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _summary(outcomes: dict[str, list[Outcome]]) -> dict[str, float]:
    reports = {arm: [row.report for row in rows] for arm, rows in outcomes.items()}
    difference, low, high = paired_difference(reports["adaptive"], reports["fixed"])
    means = {arm: float(np.mean([row.report.mean for row in rows])) for arm, rows in outcomes.items()}
    samples = {arm: sum(row.scoring.student_samples for row in rows) for arm, rows in outcomes.items()}
    tokens = {arm: sum(row.scoring.student_tokens for row in rows) for arm, rows in outcomes.items()}
    print(f"adaptive - fixed = {difference:+.3f} [{low:+.3f}, {high:+.3f}]")
    return {
        "fixed": means["fixed"],
        "adaptive": means["adaptive"],
        "difference": difference,
        "low": low,
        "high": high,
        "samples_ratio": samples["adaptive"] / samples["fixed"],
        "tokens_ratio": tokens["adaptive"] / tokens["fixed"],
        "seeds": len(outcomes["fixed"]),
    }


if __name__ == "__main__":
    main()
