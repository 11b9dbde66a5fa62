"""`tune` as a user meets it: trials share one baseline, none is lost or doubled by an end, and the result is a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loop.bootstrap import open_home, open_study
from loop.config import load_settings
from loop.summary import outputs_of, reader
from loop.tune_settings import current, load_tune
from tests.conftest import ROOT, Calls

TINY = ROOT / "tests" / "tiny.toml"


@pytest.mark.slow
def test_trials_share_a_baseline_and_survive_an_end(call: Calls, tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = load_settings(TINY)
    tune = load_tune(TINY, settings)
    study = open_study(open_home(home), settings, tune)
    orphan = study.ask(current(settings, list(tune.space)))  # a process that ended right after it asked
    assert orphan.number == 0

    done = call("tune", TINY, "--trials", "2", "--json", "--home", home)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [(row["number"], row["state"]) for row in told["trials"]] == [(0, "complete"), (2, "complete")]
    assert told["trials"][0]["params"] == orphan.params

    base = open_home(home / "tune" / "tiny" / "base").ledger
    assert base.campaigns()[0].name == "tiny-base"
    for number in (0, 2):
        place = open_home(home / "tune" / "tiny" / f"trial-{number}-seed-0")
        (row,) = [row for row in place.ledger.rounds("tiny-trial") if row.index == 1]
        spent = outputs_of(row, reader(place.blobs))["score"].spent
        assert (spent.teacher_samples, spent.student_samples) == (0, 0), "the baseline is paid for once"
        worth = next(entry["worth"] for entry in told["trials"] if entry["number"] == number)
        assert worth["tokens"] > worth["paid"] > 0, "but a trial's cost counts what it read of it"

    again = call("tune", TINY, "--trials", "2", "--json", "--home", home)
    assert json.loads(again.out)["trials"] == told["trials"], "enough are done"

    target = tmp_path / "tuned.toml"
    done = call("tune", TINY, "--report", "--trial", "2", "--write", target, "--home", home)
    assert done.code == 0, done.err
    assert "trial 2 is chosen" in done.out
    tuned = load_settings(target)
    assert tuned.name == "tiny-tuned"
    assert tuned.selection.prompts == told["trials"][1]["params"]["selection.prompts"]

    changed = call("tune", TINY, "--report", "--set", "training.steps=3", "--home", home)
    assert changed.code == 2
    assert "cannot be compared" in changed.err
    assert _runs(home) == {"trial 0": "FINISHED", "trial 2": "FINISHED"}


def test_nothing_to_report_is_told(call: Calls, tmp_path: Path) -> None:
    done = call("tune", TINY, "--report", "--home", tmp_path / "home")
    assert done.code == 1
    assert "no trial is complete yet" in done.err


def _runs(home: Path) -> dict[str, str]:
    """The nested MLflow runs of the study."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("deltaloop")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])
    (parent,) = [run for run in runs if run.info.run_name == "tuning of tiny"]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert all("trial/accuracy" in run.data.metrics and "selection.prompts" in run.data.params for run in nested)
    return {str(run.info.run_name): run.info.status for run in nested}
