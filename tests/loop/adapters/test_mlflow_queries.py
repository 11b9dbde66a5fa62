"""The questions of docs/mlflow.md, asked with MLflow's own client on a real store, and the code of the page itself."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from loop.adapters.mlflow_evaluations import note_evaluation
from loop.adapters.mlflow_registry import crown
from loop.adapters.mlflow_samples import SAMPLES, sample_table
from loop.adapters.mlflow_tracker import MlflowTracker
from loop.adapters.mlflow_trials import note_trial
from loop.text import clean
from loop.tuning import Tried
from store.records import AnswerCount, Origin, Prompt, Rollout, RolloutStatus, Spent, Status, digest_of
from tests.conftest import ROOT
from tests.hazards import ACTING, HAZARDS
from tests.loop.adapters.test_mlflow_tracker import Folders
from tests.loop.campaign_example import ExampleLedger, outputs, score
from tests.test_docs_commands import BLOCK
from tests.tiny_models import picture


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of three rounds: the second spends most, the third is refused."""
    ledger = ExampleLedger()
    ledger.campaign = replace(ledger.campaign, name="embedded")
    ledger.blobs["picture"] = picture(1)
    home = tmp_path_factory.mktemp("queries") / "mlruns"  # as the page names it
    tracker = MlflowTracker(home, ledger, ledger, Folders(home / "checkpoints"))
    for round in range(4):
        ledger.begin(round)
        tracker.round_started("embedded", round, {}, {"branch": "main"})
        for stage, output in outputs(round).items():
            if (round, stage) == (2, "distill"):
                output = replace(output, spent=Spent(train_tokens=50_000))
            if (round, stage) == (3, "judge"):
                output = replace(output, promoted=False, student=outputs(2)["distill"].version)
            ledger.complete(round, stage, output)
            tracker.stage_ended("embedded", round, stage, output, 1.0)
        ledger.end(round, Status.COMPLETED)
        tracker.round_ended("embedded", round, Status.COMPLETED)
    tracker.campaign_ended("embedded", Status.COMPLETED)
    return home


@pytest.fixture(scope="module")
def client(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def _round(client: MlflowClient, number: int):
    experiment = client.get_experiment_by_name("deltaloop")
    assert experiment is not None
    (run,) = client.search_runs(
        [experiment.experiment_id], f"tags.`deltaloop.campaign` = 'embedded' and tags.`deltaloop.round` = '{number}'"
    )
    return run


def test_the_best_round_by_accuracy_per_token(client: MlflowClient):
    experiment = client.get_experiment_by_name("deltaloop")
    assert experiment is not None
    runs = client.search_runs(
        [experiment.experiment_id],
        "tags.`deltaloop.campaign` = 'embedded' and tags.`deltaloop.round` != '0'",
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
    assert inputs["training", "embedded-round-2"] == (digest_of("batch")[:36], 3)
    assert {name for context, name in inputs if context == "held-out"} == {"chart", "document", "unseen"}
    assert inputs["held-out", "chart"][1] == 2


def test_the_champion_is_the_student_promoted_last(client: MlflowClient):
    champion = client.get_model_version_by_alias("embedded", "champion")
    model = client.get_logged_model(champion.tags["deltaloop.model"])
    assert model.tags["deltaloop.version"] == outputs(2)["distill"].version.id
    assert champion.run_id == _round(client, 2).info.run_id
    assert len(client.search_model_versions("name = 'embedded'")) == 2  # the refused one is none


def test_an_old_promotion_written_again_moves_the_alias_nowhere(client: MlflowClient):
    (first,) = (v for v in client.search_model_versions("name = 'embedded'") if v.tags["deltaloop.round"] == "1")
    crown(client, "embedded", first.tags["deltaloop.created"], 1, first.tags["deltaloop.model"], first.run_id)
    assert client.get_model_version_by_alias("embedded", "champion").tags["deltaloop.round"] == "2"
    assert len(client.search_model_versions("name = 'embedded'")) == 2


def test_a_table_of_samples_shows_pictures_and_responses_as_text(client: MlflowClient, tmp_path: Path):
    run = _round(client, 1)
    path = client.download_artifacts(run.info.run_id, SAMPLES, str(tmp_path))
    table = json.loads(Path(path).read_text())
    rows = [dict(zip(table["columns"], cells, strict=True)) for cells in table["data"]]
    assert [row["prompt"] for row in rows] == ["p3", "p2", "p0", "p1"]
    assert rows[0]["question"] == "=cmd() <b>p3</b>"
    assert (rows[0]["teacher"], rows[0]["student"]) == ("of t ×8", "of s ×8")
    assert rows[0]["teacher_response"] == "<script>t</script>\N{REPLACEMENT CHARACTER}[31m p3: of t"
    assert rows[0]["student_response"] == "<script>s</script>\N{REPLACEMENT CHARACTER}[31m p3: of s"
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": SAMPLES, "type": "table"}]
    # MLflow's pages show a column as pictures if its first cell is one, and take all others for pictures too.
    for row in rows:
        assert row["image"]["type"] == "image"
        for kind in ("filepath", "compressed_filepath"):
            held = Image.open(client.download_artifacts(run.info.run_id, row["image"][kind], str(tmp_path)))
            assert held.size == ((16, 16) if row["prompt"] == "p1" else (32, 32))
    assert list(pandas.read_json(path, orient="split")["prompt"]) == ["p3", "p2", "p0", "p1"]  # as `load_table` reads


def test_a_sample_s_pictures_are_few_and_small():
    ledger = ExampleLedger()
    big = Image.effect_noise((3000, 200), 50).convert("RGB")
    file = io.BytesIO()
    big.save(file, "PNG")
    ledger.blobs |= {"picture": file.getvalue(), "torn": file.getvalue()[:2000]}
    many = SeveralPictures(("picture",) * 9)
    many.blobs = ledger.blobs
    scores = [score(f"q{number}", 1.0) for number in range(30)]
    table, pictures = sample_table(scores, many, many)
    assert len(table["data"]) == len(pictures) == 20
    (size,) = {Image.open(io.BytesIO(png)).size for png in pictures.values()}
    assert size == (4 * 384, 26)
    many.images = ("torn", "absent")
    table, pictures = sample_table(scores[:2], many, many)
    assert (pictures, "image" in table["columns"]) == ({}, False)


class SeveralPictures(ExampleLedger):
    """Each of its prompts has these."""

    def __init__(self, images: tuple[str, ...]) -> None:
        super().__init__()
        self.images = images

    def prompts(self, ids: Sequence[str]) -> tuple[Prompt, ...]:
        return tuple(replace(prompt, images=self.images) for prompt in super().prompts(ids))


@pytest.mark.parametrize("text", HAZARDS.values(), ids=HAZARDS)
def test_every_hazard_is_text_in_the_table(text: str):
    class Hostile(ExampleLedger):
        def prompts(self, ids: Sequence[str]) -> tuple[Prompt, ...]:
            return tuple(Prompt(id, text, (), Origin.SEED) for id in ids)

        def answers(self, id: str, versions: Sequence[str]) -> tuple[AnswerCount, ...]:
            return tuple(AnswerCount(version, "t=1", text, RolloutStatus.ANSWERED, 8) for version in versions)

        def rollouts(self, version: str, sampling: str, ids: Sequence[str]) -> dict[str, tuple[Rollout, ...]]:
            found = super().rollouts(version, sampling, ids)
            return {id: tuple(replace(row, text=text, canonical=text) for row in rows) for id, rows in found.items()}

    table, _ = sample_table([score("p1", 1.0)], Hostile(), ExampleLedger())
    row = dict(zip(table["columns"], table["data"][0], strict=True))
    assert row["question"] == row["teacher_response"] == row["student_response"] == clean(text)
    assert row["teacher"] == f"{clean(text)} ×8"
    assert not ACTING.search(json.dumps(table, ensure_ascii=False))


def test_runs_say_what_they_are_and_which_code_ran(client: MlflowClient, home: Path):
    version = outputs(1)["distill"].version
    note_trial(home, "embedded", Tried(3, "fail", {"a": 1}, None, "out of\x1b[31m\nmemory"))
    note_evaluation(home, ExampleLedger(), version, outputs(1)["evaluate"].suites, None)
    experiment = client.get_experiment_by_name("deltaloop")
    assert experiment is not None
    runs = {run.info.run_name: run.data.tags for run in client.search_runs([experiment.experiment_id])}
    for name in ("embedded", "round 1", "tuning of embedded", "trial 3", f"evaluation of {version.id[:12]}"):
        assert runs[name]["mlflow.note.content"].endswith("."), name
    assert runs["trial 3"]["deltaloop.reason"] == "out of\N{REPLACEMENT CHARACTER}[31m memory"
    assert runs["round 1"]["mlflow.source.git.branch"] == runs["embedded"]["mlflow.source.git.branch"] == "main"


def test_the_code_of_the_page_answers_its_questions(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = (ROOT / "docs" / "mlflow.md").read_text(encoding="utf-8")
    blocks = [code for language, code in BLOCK.findall(page) if language == "python"]
    assert len(blocks) == 4
    monkeypatch.chdir(home.parent)
    names: dict[str, Any] = {}
    said = []
    for block in blocks:
        exec(block, names)
        said.append(capsys.readouterr().out.splitlines())
    opened, best, data, champion = said
    assert opened == []
    assert best in (["round 1"], ["round 3"])
    assert {line.split()[0] for line in data} == {"embedded-round-2", "chart", "document", "unseen"}
    assert champion == [outputs(2)["distill"].version.id]
