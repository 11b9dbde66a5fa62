"""What `plan` foresees of a campaign, against what a run of it then spends.

python -m scripts.check_plan [--campaign scripts/campaigns/embedded.toml] [--set KEY=VALUE] [--home DIR]

Plans in a home of its own, then runs. Prints a line for each cost: samples and tokens of both sides, tokens trained on,
answers to held-out questions, hours, bytes. Exits 1 if one is foreseen wrong by more than 30 %. The last line is one
JSON object: what is `foreseen` and `spent`, the `errors`, and the largest of them as `worst`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from loop.bootstrap import Home, open_home
from loop.config import load_settings
from loop.summary import outputs_of, reader, spent_of
from store.records import Report, Spent

WITHIN = 0.3
COUNTS = ("teacher_samples", "student_samples", "teacher_tokens", "student_tokens", "train_tokens")
LINES = (*COUNTS, "answers", "device_hours", "storage_bytes")


def main() -> int:
    """Plan, run, compare; 1 if a cost was foreseen wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaign", type=Path, default=Path(__file__).parent / "campaigns" / "embedded.toml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="check-plan-"))
    options = [f"--set={text}" for text in given.set]
    planned = _deltaloop("plan", str(given.campaign), "--json", "--home", str(home / "plan"), *options)
    foreseen = {name: float(json.loads(planned)["total"][name]) for name in LINES}
    _deltaloop("run", str(given.campaign), "--home", str(home / "run"), *options)
    spent = spent_by(open_home(home / "run"), load_settings(given.campaign, given.set).name)
    errors = {name: foreseen[name] / spent[name] - 1 for name in LINES}
    for name in LINES:
        print(f"{name:16}{foreseen[name]:16,.2f} foreseen{spent[name]:16,.2f} spent{errors[name]:+8.0%}")
    worst = max(errors.values(), key=abs)
    print(json.dumps({"foreseen": foreseen, "spent": spent, "errors": errors, "worst": worst}))
    return int(abs(worst) > WITHIN)


def spent_by(place: Home, campaign: str) -> dict[str, float]:
    """What a finished campaign cost, by the names of `plan --json`; hours are those of its stages."""
    rounds = place.ledger.rounds(campaign)
    outputs = [outputs_of(row, reader(place.blobs)) for row in rounds]
    counts = asdict(Spent.total(map(spent_of, outputs)))
    seconds = sum(stage.seconds or 0.0 for row in rounds for stage in row.stages)
    files = [path for path in place.paths.home.rglob("*") if path.is_file()]
    return {name: float(counts[name]) for name in COUNTS} | {
        "answers": float(_answers([output for own in outputs for output in own.values()])),
        "device_hours": seconds / 3600,
        "storage_bytes": float(sum(path.stat().st_size for path in files)),
    }


def _answers(outputs: Sequence[object]) -> int:
    """Held-out questions that were answered: a suite that a version has answered is not asked again."""
    suites = [(row.version, suite) for row in outputs if isinstance(row, Report) for suite in row.suites]
    return sum({(version, suite.suite): len(suite.values) for version, suite in suites}.values())


def _deltaloop(*words: str) -> str:
    program = "from loop.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
