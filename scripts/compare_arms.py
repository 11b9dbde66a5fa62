"""Does aiming at Δ beat training on uniformly drawn prompts? Two comparisons, at equal budgets, over several seeds.

    delta            the campaign file as it is: score, aim, synthesize, select by Δ, distill
    uniform          prompts drawn uniformly from the same seed pool, no synthesis; as many training tokens each round
    uniform_total    the same, but it may also train on the tokens that the Δ arm spent on scoring and synthesis

    python -m scripts.compare_arms --seeds 5 [--campaign FILE] [--home DIR] [--rounds N] [--set key=value ...]

All arms of a seed share one home, so that rollouts of a prompt are drawn once; each has its own pool. Prints a row a
seed and the paired differences with 90 % intervals (bootstrap over seeds and questions); the last line is JSON. A home
that holds finished arms is not computed again: the script resumes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from loop.config import CampaignSettings, load_settings
from scripts.campaign_arms import Outcome, paired_difference, run_arm
from store.records import Spent

SLACK = 1.1
"""The uniform arms stop at their token budget; the steps over which their learning rate falls allow for some more."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all arms, print the comparison."""
    options = _parse(arguments)
    outcomes: dict[str, list[Outcome]] = {"delta": [], "uniform": [], "uniform_total": []}
    for seed in range(options.seeds):
        base = load_settings(options.campaign, [*options.set, f"seed={seed}", f"pool.seed={seed}"])
        if options.rounds is not None:
            base = base.model_copy(update={"rounds": options.rounds})
        home = options.home / f"seed-{seed}"
        outcomes["delta"].append(run_arm(base, "delta", home))
        spent = outcomes["delta"][-1].spent
        budgets = {"uniform": [row.train_tokens for row in spent], "uniform_total": [_all(row) for row in spent]}
        for arm, budget in budgets.items():
            outcomes[arm].append(run_arm(_uniform(base, spent, budget), arm, home))
        print(_row(seed, {arm: rows[-1] for arm, rows in outcomes.items()}), flush=True)
    print(json.dumps(_summary(outcomes, options.seeds)))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--campaign", type=Path, default=Path("scripts/campaigns/arms.toml"))
    parser.add_argument("--home", type=Path, default=Path("mlruns/arms"))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args(arguments)


def _uniform(base: CampaignSettings, spent: Sequence[Spent], budgets: Sequence[int]) -> CampaignSettings:
    """The control arm: no synthesis, uniform choice, the mean of the Δ arm's token budgets in each round.

    One sample a side is what the score stage needs to run; none of it is used, and none of it is counted.
    """
    budget = round(sum(budgets) / len(budgets))
    per_step = sum(row.train_tokens for row in spent) / len(spent) / base.training.steps
    steps = max(1, round(SLACK * budget / per_step))
    return base.model_copy(
        update={
            "scoring": base.scoring.model_copy(
                update={"rule": "fixed", "teacher_samples": 1, "student_samples": 1, "reporting_samples": 0}
            ),
            "synthesis": base.synthesis.model_copy(update={"seed_guided": 0, "skill_guided": 0}),
            "selection": base.selection.model_copy(update={"rule": "uniform", "prompts": base.pool.size}),
            "training": base.training.model_copy(update={"steps": steps, "token_budget": budget}),
            "promotion": base.promotion.model_copy(update={"min_delta_share": 0.0}),
        }
    )


def _all(spent: Spent) -> int:
    return spent.teacher_tokens + spent.student_tokens + spent.train_tokens


def _row(seed: int, outcomes: dict[str, Outcome]) -> str:
    cells = [
        f"{arm} {outcome.report.mean:.3f} (train {sum(row.train_tokens for row in outcome.spent)} tokens)"
        for arm, outcome in outcomes.items()
    ]
    return f"seed {seed}: " + ", ".join(cells)


def _summary(outcomes: dict[str, list[Outcome]], seeds: int) -> dict[str, object]:
    means = {arm: float(np.mean([row.report.mean for row in rows])) for arm, rows in outcomes.items()}
    reports = {arm: [row.report for row in rows] for arm, rows in outcomes.items()}
    at_training = paired_difference(reports["delta"], reports["uniform"])
    at_total = paired_difference(reports["delta"], reports["uniform_total"])
    for name, (difference, low, high) in (("training", at_training), ("total", at_total)):
        print(f"equal {name} tokens: delta - uniform = {difference:+.3f} [{low:+.3f}, {high:+.3f}]")
    return {
        "delta_arm": means["delta"],
        "uniform_arm": means["uniform"],
        "difference": at_training[0],
        "low": at_training[1],
        "high": at_training[2],
        "seeds": seeds,
        "uniform_total_arm": means["uniform_total"],
        "difference_total": at_total[0],
        "low_total": at_total[1],
        "high_total": at_total[2],
    }


if __name__ == "__main__":
    main()
