"""The questions of docs/mlflow.md, asked with MLflow's own client on a real store."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from loop.adapters.mlflow_registry import crown
from loop.adapters.mlflow_tracker import MlflowTracker
from store.records import Spent, Status, digest_of
from tests.loop.adapters.test_mlflow_tracker import Folders
from tests.loop.campaign_example import ExampleLedger, outputs


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    """A campaign of three rounds: the second spends most, the third is refused."""
    home = tmp_path_factory.mktemp("queries")
    ledger = ExampleLedger()
    tracker = MlflowTracker(home, ledger, ledger, Folders(home / "checkpoints"))
    for round in range(4):
        ledger.begin(round)
        tracker.round_started("example", round, {}, {})
        for stage, output in outputs(round).items():
            if (round, stage) == (2, "distill"):
                output = replace(output, spent=Spent(train_tokens=50_000))
            if (round, stage) == (3, "judge"):
                output = replace(output, promoted=False, student=outputs(2)["distill"].version)
            ledger.complete(round, stage, output)
            tracker.stage_ended("example", round, stage, output, 1.0)
        ledger.end(round, Status.COMPLETED)
        tracker.round_ended("example", round, Status.COMPLETED)
    tracker.campaign_ended("example", Status.COMPLETED)
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def _round(client: MlflowClient, number: int):
    experiment = client.get_experiment_by_name("deltaloop")
    assert experiment is not None
    (run,) = client.search_runs(
        [experiment.experiment_id], f"tags.`deltaloop.campaign` = 'example' and tags.`deltaloop.round` = '{number}'"
    )
    return run


def test_the_best_round_by_accuracy_per_token(client: MlflowClient):
    experiment = client.get_experiment_by_name("deltaloop")
    assert experiment is not None
    runs = client.search_runs(
        [experiment.experiment_id],
        "tags.`deltaloop.campaign` = 'example' and tags.`deltaloop.round` != '0'",
        order_by=["metrics.accuracy_per_million_tokens DESC"],
    )
    assert {run.info.run_name for run in runs[:2]} == {"round 1", "round 3"}
    assert runs[-1].info.run_name == "round 2"
    tokens = 320 + 160 + 400 + 80 + 70 + 200 + 120 + 110 + 500
    assert _round(client, 1).data.metrics["accuracy_per_million_tokens"] == pytest.approx(0.625e6 / tokens)


def test_the_data_sets_of_a_round(client: MlflowClient):
    inputs = {}
    for given in _round(client, 2).inputs.dataset_inputs:
        context = next(tag.value for tag in given.tags if tag.key == "mlflow.data.context")
        inputs[context, given.dataset.name] = given.dataset.digest, json.loads(given.dataset.profile)["num_rows"]
    assert inputs["training", "example-round-2"] == (digest_of("batch")[:36], 3)
    assert {name for context, name in inputs if context == "held-out"} == {"chart", "document", "unseen"}
    assert inputs["held-out", "chart"][1] == 2


def test_the_champion_is_the_student_promoted_last(client: MlflowClient):
    champion = client.get_model_version_by_alias("example", "champion")
    model = client.get_logged_model(champion.tags["deltaloop.model"])
    assert model.tags["deltaloop.version"] == outputs(2)["distill"].version.id
    assert champion.run_id == _round(client, 2).info.run_id
    assert len(client.search_model_versions("name = 'example'")) == 2  # the refused one is none


def test_an_old_promotion_written_again_moves_the_alias_nowhere(client: MlflowClient):
    (first,) = (v for v in client.search_model_versions("name = 'example'") if v.tags["deltaloop.round"] == "1")
    crown(client, "example", first.tags["deltaloop.created"], 1, first.tags["deltaloop.model"], first.run_id)
    assert client.get_model_version_by_alias("example", "champion").tags["deltaloop.round"] == "2"
    assert len(client.search_model_versions("name = 'example'")) == 2


def test_a_table_of_samples_keeps_hostile_text_as_text(client: MlflowClient, tmp_path: Path):
    run = _round(client, 1)
    path = client.download_artifacts(run.info.run_id, "samples/most_different.json", str(tmp_path))
    table = json.loads(Path(path).read_text())
    assert len(table["data"]) == 4
    row = dict(zip(table["columns"], table["data"][0], strict=True))
    assert row["question"] == "=cmd() <b>p3</b>"
    assert (row["teacher"], row["student"]) == ("of t ×8", "of s ×8")
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "samples/most_different.json", "type": "table"}
    ]
