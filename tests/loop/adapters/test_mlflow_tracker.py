from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from loop.adapters.mlflow_book import this_process
from loop.adapters.mlflow_tracker import MlflowTracker, NullTracker
from store.records import Status, digest_of
from tests.loop.campaign_example import COMMIT, ExampleLedger, outputs

ROOT = Path(__file__).parents[3]
PARENT = "mlflow.parentRunId"


class Folders:
    """Checkpoints of one file each."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        folder = self.root / digest
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text('{"hidden_size": 1}')
        return folder


class View:
    """What people see in MLflow of one campaign."""

    def __init__(self, home: Path) -> None:
        self.client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
        self.experiment = self.client.get_experiment_by_name("deltaloop")
        assert self.experiment is not None

    def runs(self, campaign: str) -> list[Any]:
        return list(
            self.client.search_runs([self.experiment.experiment_id], f"tags.`deltaloop.campaign` = '{campaign}'")
        )

    def parent(self, campaign: str) -> Any:
        (run,) = [run for run in self.runs(campaign) if PARENT not in run.data.tags]
        return run

    def children(self, campaign: str) -> dict[int, Any]:
        runs = [run for run in self.runs(campaign) if PARENT in run.data.tags]
        found = {int(run.data.tags["deltaloop.round"]): run for run in runs}
        assert len(found) == len(runs)
        return found

    def curve(self, run: Any, key: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run.info.run_id, key)
        return sorted((metric.step, metric.value) for metric in history)

    def all_points(self, campaign: str) -> dict[tuple[str, str, int], int]:
        counts: dict[tuple[str, str, int], int] = {}
        for run in self.runs(campaign):
            for key in run.data.metrics:
                for step, _ in self.curve(run, key):
                    counts[run.info.run_name, key, step] = counts.get((run.info.run_name, key, step), 0) + 1
        return counts

    def files(self, run: Any, folder: str) -> set[str]:
        return {file.path for file in self.client.list_artifacts(run.info.run_id, folder)}


def _named(name: str) -> ExampleLedger:
    """A ledger whose campaign has its own name: the tests share one MLflow home, which takes seconds to make."""
    ledger = ExampleLedger()
    ledger.campaign = replace(ledger.campaign, name=name)
    return ledger


def _tracker(home: Path, ledger: ExampleLedger) -> MlflowTracker:
    return MlflowTracker(home, ledger, ledger, Folders(home / "checkpoints"))


def _start(tracker: MlflowTracker, ledger: ExampleLedger, round: int) -> None:
    ledger.begin(round)
    tracker.round_started(ledger.campaign.name, round, {}, {})


def _stage(tracker: MlflowTracker, ledger: ExampleLedger, round: int, stage: str) -> None:
    output = outputs(round)[stage]
    ledger.complete(round, stage, output)
    tracker.stage_ended(ledger.campaign.name, round, stage, output, 2.0)


def _end(tracker: MlflowTracker, ledger: ExampleLedger, round: int, status: Status) -> None:
    ledger.end(round, status)
    tracker.round_ended(ledger.campaign.name, round, status)


def _run(tracker: MlflowTracker, ledger: ExampleLedger, rounds: range) -> None:
    for round in rounds:
        _start(tracker, ledger, round)
        for stage in outputs(round):
            _stage(tracker, ledger, round, stage)
        _end(tracker, ledger, round, Status.COMPLETED)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def done(home: Path) -> View:
    """A campaign of two rounds, tracked from start to end."""
    ledger = _named("done")
    tracker = _tracker(home, ledger)
    _run(tracker, ledger, range(3))
    ledger.campaign = replace(ledger.campaign, status=Status.COMPLETED)
    tracker.campaign_ended("done", Status.COMPLETED)
    return View(home)


def test_a_campaign_is_a_run_and_its_rounds_are_runs_under_it(done: View):
    parent = done.parent("done")
    children = done.children("done")
    assert sorted(children) == [0, 1, 2]
    assert {run.data.tags[PARENT] for run in children.values()} == {parent.info.run_id}
    assert {run.info.status for run in done.runs("done")} == {"FINISHED"}
    assert parent.info.run_name == "done"
    assert children[1].info.run_name == "round 1"


def test_rounds_are_points_of_curves_on_the_campaign(done: View):
    parent, children = done.parent("done"), done.children("done")
    assert done.curve(parent, "delta/mean") == [(1, 0.75), (2, 0.75)]
    assert done.curve(parent, "accuracy/student/mean") == [(0, 0.25), (1, 0.625), (2, 0.625)]
    assert done.curve(parent, "accuracy/teacher/mean") == [(0, 0.875), (1, 0.875), (2, 0.875)]
    assert done.curve(parent, "yield/skill_guided") == [(1, 0.8), (2, 0.8)]
    assert done.curve(parent, "samples/teacher") == [(0, 0), (1, 52), (2, 52)]
    assert done.curve(children[2], "delta/zero_share") == [(2, 0.5)]
    assert done.curve(children[1], "seconds/round") == [(1, 14.0)]
    assert set(done.all_points("done").values()) == {1}


def test_training_is_a_curve_over_its_steps_on_the_round(done: View):
    assert done.curve(done.children("done")[1], "train/loss") == [(1, 0.9), (2, 0.4)]
    assert done.curve(done.children("done")[1], "train/response_tokens") == [(1, 10.0), (2, 12.0)]


def test_settings_and_code_are_on_every_run(done: View):
    for run in done.runs("done"):
        assert run.data.params["pool.size"] == "4"
        assert run.data.params["evaluation.main"] == "chart, document"
        assert run.data.tags["mlflow.source.git.commit"] == COMMIT
        assert run.data.tags["deltaloop.dirty"] == "true"


def test_data_sets_are_named_by_their_digest(done: View):
    found = {}
    for round, run in done.children("done").items():
        for given in done.client.get_run(run.info.run_id).inputs.dataset_inputs:
            tags = {tag.key: tag.value for tag in given.tags}
            found[round, tags["mlflow.data.context"]] = (given.dataset.digest, tags["deltaloop.digest"])
    pool, batch = digest_of("pool"), digest_of("batch")
    found = {key: value for key, value in found.items() if key[1] != "held-out"}
    assert found == {
        (0, "pool"): (pool[:36], pool),
        (1, "training"): (batch[:36], batch),
        (2, "training"): (batch[:36], batch),
    }


def test_the_checkpoint_is_a_logged_model_of_its_round(done: View, tmp_path: Path):
    run = done.children("done")[1]
    (output,) = done.client.get_run(run.info.run_id).outputs.model_outputs
    model = done.client.get_logged_model(output.model_id)
    assert model.tags["deltaloop.version"] == outputs(1)["distill"].version.id
    assert model.source_run_id == run.info.run_id
    assert str(model.status) == "READY"
    assert [file.path for file in done.client.list_logged_model_artifacts(model.model_id)] == ["config.json"]
    assert {metric.key: metric.value for metric in model.metrics}["accuracy/student/mean"] == 0.625


def test_figures_are_files_of_their_runs(done: View):
    assert done.files(done.children("done")[1], "figures") == {"figures/delta_histogram.png", "figures/region_map.png"}
    assert done.files(done.parent("done"), "figures") == {"figures/accuracy.png"}


def test_nothing_is_written_outside_the_home(done: View, home: Path):
    assert done.experiment.artifact_location == (home.resolve() / "artifacts").as_uri()
    assert {entry.name for entry in home.iterdir()} == {"mlflow.db", "artifacts", "checkpoints"}


def test_a_resumed_round_is_the_same_run_and_doubles_nothing(home: Path):
    ledger = _named("resumed")
    first = _tracker(home, ledger)
    _run(first, ledger, range(1))
    _start(first, ledger, 1)
    _stage(first, ledger, 1, "score")
    _stage(first, ledger, 1, "target")
    # A second process: it writes the stages that the first finished but never told MLflow of, and goes on.
    ledger.complete(1, "synthesize", outputs(1)["synthesize"])
    second = _tracker(home, ledger)
    _start(second, ledger, 1)
    for stage in ("select", "distill", "evaluate", "judge"):
        _stage(second, ledger, 1, stage)
    _end(second, ledger, 1, Status.COMPLETED)
    _tracker(home, ledger).campaign_ended("resumed", Status.COMPLETED)

    view = View(home)
    assert sorted(view.children("resumed")) == [0, 1]
    assert set(view.all_points("resumed").values()) == {1}
    assert view.curve(view.parent("resumed"), "yield/seed_guided") == [(1, 0.25)]
    assert len(view.client.get_run(view.children("resumed")[1].info.run_id).outputs.model_outputs) == 1


def test_a_stage_told_twice_is_written_once(home: Path):
    ledger = _named("twice")
    tracker = _tracker(home, ledger)
    _start(tracker, ledger, 1)
    for _ in range(2):
        for stage, output in outputs(1).items():
            if ledger.find_stage("twice", 1, stage) is None:
                ledger.complete(1, stage, output)
            tracker.stage_ended("twice", 1, stage, output, 2.0)
    assert set(View(home).all_points("twice").values()) == {1}


@pytest.mark.parametrize(
    ("status", "shown"), [(Status.FAILED, "FAILED"), (Status.STOPPED, "KILLED"), (Status.COMPLETED, "FINISHED")]
)
def test_runs_end_as_the_ledger_says(home: Path, status: Status, shown: str):
    ledger = _named(f"ends-{status}")
    tracker = _tracker(home, ledger)
    _start(tracker, ledger, 1)
    _end(tracker, ledger, 1, status)
    tracker.campaign_ended(ledger.campaign.name, status)
    assert {run.info.status for run in View(home).runs(ledger.campaign.name)} == {shown}


def test_runs_that_a_killed_process_left_running_are_closed(home: Path):
    view, host = View(home), this_process().partition(":")[0]
    processes = {
        "dead": f"{host}:{_pid_of_the_dead()}:00000000",
        "same-id": f"{host}:{os.getpid()}:00000000",
        "elsewhere": f"another-{host}:{os.getppid()}:00000000",
        "finished": f"{host}:{os.getppid()}:00000000",
        "alive": f"{host}:{os.getppid()}:00000000",
        "here": this_process(),
    }
    ledgers = {name: _named(name) for name in processes}
    for name, process in processes.items():
        _start(_tracker(home, ledgers[name]), ledgers[name], 1)
        for run in view.runs(name):
            view.client.set_tag(run.info.run_id, "deltaloop.process", process)
            view.client.update_run(run.info.run_id, "RUNNING")

    ended = ledgers["finished"]
    ended.campaign = replace(ended.campaign, status=Status.COMPLETED)
    ended.end(1, Status.FAILED)
    opener = Others(_named("opener"), ended)
    _start(_tracker(home, opener), opener, 1)

    def statuses(name: str) -> dict[str, str]:
        return {"round" if PARENT in run.data.tags else "campaign": run.info.status for run in view.runs(name)}

    for name in ("dead", "same-id", "elsewhere"):
        assert statuses(name) == {"campaign": "KILLED", "round": "KILLED"}
    assert statuses("finished") == {"campaign": "FINISHED", "round": "FAILED"}
    for name in ("alive", "here", "opener"):
        assert statuses(name) == {"campaign": "RUNNING", "round": "RUNNING"}


class Others(ExampleLedger):
    """A ledger of two campaigns."""

    def __init__(self, own: ExampleLedger, other: ExampleLedger) -> None:
        super().__init__()
        self.campaign, self.other = own.campaign, other

    def find_campaign(self, name: str) -> Any:
        return super().find_campaign(name) or self.other.find_campaign(name)

    def find_round(self, campaign: str, round: int) -> Any:
        return (self if campaign == self.campaign.name else self.other).rows.get(round)


def _pid_of_the_dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_machine_is_measured_while_a_round_runs(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    ledger, view = _named("measured"), View(home)
    tracker = MlflowTracker(home, ledger, ledger, Folders(home / "checkpoints"), system_metrics=True)
    steps: list[int] = []
    for _ in range(2):  # the second time, a round that was interrupted goes on
        _start(tracker, ledger, 1)
        before, until = len(steps), time.monotonic() + 60
        while len(steps) <= before and time.monotonic() < until:
            steps = [step for step, _ in view.curve(view.children("measured")[1], "system/cpu_utilization_percentage")]
            time.sleep(0.05)
        assert len(steps) > before
        _end(tracker, ledger, 1, Status.STOPPED)
        steps = [step for step, _ in view.curve(view.children("measured")[1], "system/cpu_utilization_percentage")]
    assert len(set(steps)) == len(steps)
    assert not [thread for thread in threading.enumerate() if thread.name == "SystemMetricsMonitor"]


def test_a_campaign_of_a_new_ledger_is_a_new_run(home: Path):
    for created in ("2026-01-01T00:00:00+00:00", "2026-02-02T00:00:00+00:00"):
        ledger = _named("again")
        ledger.campaign = replace(ledger.campaign, created=created)
        _start(_tracker(home, ledger), ledger, 1)
    assert len([run for run in View(home).runs("again") if PARENT not in run.data.tags]) == 2


def test_a_broken_database_warns_once_and_is_written_when_it_is_back(
    home: Path, done: View, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "mlflow.db").write_bytes(b"this is no database, and long enough to be read as one" * 100)
    ledger = _named("healed")
    tracker = _tracker(tmp_path, ledger)
    with caplog.at_level(logging.WARNING, logger="loop"):
        _run(tracker, ledger, range(1))
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("loop")]
    assert len(warnings) == 1
    assert "mlflow.db" in warnings[0]
    assert "the ledger has everything" in warnings[0]

    shutil.copy(home / "mlflow.db", tmp_path)  # one that is made already, which takes seconds
    _run(tracker, ledger, range(1, 2))
    view = View(tmp_path)
    assert view.curve(view.parent("healed"), "accuracy/student/mean") == [(0, 0.25), (1, 0.625)]


def test_what_is_lost_is_not_shown_and_holds_up_nothing(home: Path, caplog: pytest.LogCaptureFixture):
    class Nothing:
        def path(self, digest: str) -> Path:
            raise KeyError(digest)

    ledger = _named("lost")
    ledger.begin(1)
    for stage, output in outputs(1).items():
        ledger.complete(1, stage, output)
    ledger.end(1, Status.COMPLETED)
    scored = ledger.find_stage("lost", 1, "score")
    assert scored is not None
    del ledger.blobs[scored.output or ""]
    with caplog.at_level(logging.WARNING, logger="loop"):
        _start(MlflowTracker(home, ledger, ledger, Nothing()), ledger, 2)
    assert "stage `score` is missing in MLflow" in caplog.text

    view = View(home)
    run = view.children("lost")[1]
    assert run.info.status == "FINISHED"
    assert "delta/mean" not in run.data.metrics
    assert view.curve(view.parent("lost"), "accuracy/student/mean") == [(1, 0.625)]
    (output,) = view.client.get_run(run.info.run_id).outputs.model_outputs
    assert view.client.list_logged_model_artifacts(output.model_id) == []


def test_interruptions_are_not_swallowed(home: Path):
    class Interrupted(ExampleLedger):
        def rounds(self, campaign: str) -> Any:
            raise KeyboardInterrupt

    ledger = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        _tracker(home, ledger).round_started("example", 0, {}, {})


def test_importing_and_making_a_tracker_does_not_import_mlflow():
    code = (
        "import sys; from pathlib import Path; from loop.adapters.mlflow_tracker import MlflowTracker\n"
        "MlflowTracker(Path('nowhere'), None, None, None); sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    assert not (ROOT / "nowhere").exists()


def test_the_null_tracker_takes_every_call_and_writes_nothing(tmp_path):
    tracker = NullTracker()
    tracker.round_started("c", 0, {}, {})
    tracker.stage_ended("c", 0, "pool", outputs(0)["pool"], 1.0)
    tracker.round_ended("c", 0, "completed")
    tracker.campaign_ended("c", "completed")
    assert list(tmp_path.iterdir()) == []  # where the fixture below put us


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that a stray `mlruns` would land where it is seen."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "mlruns").exists()
