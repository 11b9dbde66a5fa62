"""Drill of `tune`: killed in the middle and resumed, then its chosen budget against the file's own on fresh seeds.

python -m scripts.drill_tune [--campaign FILE] [--set KEY=VALUE] [--trials 12] [--kill-after 5] [--seeds 3] [--home DIR]

Exits 1 if a trial is lost or doubled, or if a trial pays for what all share. The two budgets are compared by the
students that they keep: the difference of held-out accuracy with its 90 % interval (bootstrap over seeds and
questions), and the tokens of each. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from loop.bootstrap import Home, open_home, open_study
from loop.config import CampaignSettings, load_settings
from loop.progress import LineProgress
from loop.study import folder_of
from loop.study_report import chosen_of
from loop.summary import outputs_of, reader
from loop.tune_settings import Tune, load_tune, with_params
from loop.tuning import READY, Task, Tried, kept_reports, run_trial, trial_settings
from scripts.campaign_arms import paired_difference
from store.records import Report

SMOKE = Path(__file__).parent / "campaigns" / "smoke.toml"
FRESH_SEED = 1000
"""Added to the campaign's: no trial has seen these."""


def main() -> int:
    """Run the drill; 1 if something that must hold does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaign", type=Path, default=SMOKE)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--kill-after", type=int, default=5, help="completed trials")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="drill-tune-"))
    settings = load_settings(given.campaign, given.set)
    tune, place = load_tune(given.campaign, settings, given.set), open_home(home)
    command = [sys.executable, "-c", "from loop.cli import main; main()", "tune", str(given.campaign)]
    command += [f"--trials={given.trials}", "--home", str(home), *(f"--set={text}" for text in given.set)]

    before = _killed_after(command, place, settings, tune, given.kill_after)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = open_study(place, settings, tune).trials()
    found = {"trials": len(after), "killed_after": sum(row.state == "complete" for row in before)}
    found["running_at_kill"] = sum(row.state == "running" for row in before)
    found |= _doubled_and_lost(before, after, given.trials) | _shared(place, settings, after)

    chosen = chosen_of(after, None, tune)
    print(f"chosen: trial {chosen.number}, {dict(chosen.params)}")
    result = found | {"chosen": chosen.number} | _fresh(place, settings, chosen, given.seeds)
    print(json.dumps(result))
    return int(bool(found["lost"] or found["doubled"] or found["paid_again"]))


def _killed_after(
    command: list[str], place: Home, settings: CampaignSettings, tune: Tune, num: int
) -> tuple[Tried, ...]:
    """Trials as they stood when the process was killed, a moment after the next one had begun."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    study = open_study(place, settings, tune)
    while process.poll() is None:
        rows = study.trials()
        if sum(row.state == "complete" for row in rows) >= num and any(row.state == "running" for row in rows):
            time.sleep(1.0)
            process.send_signal(signal.SIGKILL)
            process.wait()
            return study.trials()
        time.sleep(0.2)
    raise SystemExit(f"`tune` ended with {process.returncode} before it could be killed")


def _doubled_and_lost(before: tuple[Tried, ...], after: tuple[Tried, ...], wanted: int) -> dict[str, int]:
    """Trials that vanished, changed or never ended, and budgets that were tried twice."""
    now = {row.number: row for row in after}
    lost = [row for row in before if row.number not in now or now[row.number].params != row.params]
    lost += [row for row in before if row.worth is not None and now[row.number].worth != row.worth]
    budgets = {json.dumps(dict(row.params), sort_keys=True) for row in after}
    ended = sum(row.state in ("complete", "pruned") for row in after)
    return {"lost": len(lost) + wanted - ended, "doubled": len(after) - len(budgets)}


def _shared(place: Home, settings: CampaignSettings, trials: tuple[Tried, ...]) -> dict[str, int]:
    """Samples that the base drew, and those that trials drew of the pool in their first round."""
    folder = folder_of(place, settings)
    again = 0
    for row in trials:
        own = open_home(folder / f"trial-{row.number}-seed-0")
        for found in own.ledger.rounds(trial_settings(settings).name):
            if found.index == 1:
                spent = outputs_of(found, reader(own.blobs))["score"].spent
                again += spent.teacher_samples + spent.student_samples
        own.close()
    return {"base_samples": json.loads((folder / "base" / READY).read_text())["samples"], "paid_again": again}


def _fresh(place: Home, settings: CampaignSettings, chosen: Tried, seeds: int) -> dict[str, float]:
    """Accuracy and tokens of both budgets, and the paired difference of accuracy over seeds and questions."""
    folder = folder_of(place, settings)
    budgets = {"default": settings, "chosen": with_params(settings, chosen.params, where="chosen")}
    kept: dict[str, list[Report]] = {arm: [] for arm in budgets}
    tokens: dict[str, list[float]] = {arm: [] for arm in budgets}
    for seed in range(FRESH_SEED, FRESH_SEED + seeds):
        for arm, own in budgets.items():
            task = Task(trial_settings(own, seed), folder / f"{arm}-{seed}", folder / "base")
            worth = run_trial(task, lambda round, worth: None, LineProgress(sys.stderr), lambda: None)
            home = open_home(task.home)
            before, after = kept_reports(home.ledger, home.blobs, task.settings.name)
            home.close()
            kept[arm].append(after)
            tokens[arm].append(worth.tokens)
            print(f"{arm}, seed {seed}: {before.mean:.3f} -> {after.mean:.3f}, {worth.tokens:,.0f} tokens", flush=True)
    means = {f"{arm}_accuracy": float(np.mean([report.mean for report in rows])) for arm, rows in kept.items()}
    spent = {f"{arm}_tokens": float(np.mean(rows)) for arm, rows in tokens.items()}
    difference, low, high = paired_difference(kept["chosen"], kept["default"])
    return means | spent | {"difference": difference, "low": low, "high": high, "seeds": seeds}


if __name__ == "__main__":
    sys.exit(main())
