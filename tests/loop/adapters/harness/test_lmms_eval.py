"""The real lmms-eval on the embedded student, without a hub: its scores of each question are those of our metrics."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from loop.adapters.harness.process import run_task
from loop.adapters.held_out import METRIC_BY_DOMAIN
from loop.harness_place import installed_version
from loop.metrics import METRICS
from store.blobs import FileBlobs
from store.errors import HarnessFailed
from store.ledger import Ledger
from tests.conftest import ROOT, Ran, deltaloop
from tests.loop.adapters.harness.world_task import TASK, write_task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed_version() is None, reason="needs lmms-eval in .venv-lmms-eval: make test-tools"),
]

EACH = 8


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("harness")


def evaluate(home: Path, task: str) -> Ran:
    return deltaloop(
        "evaluate",
        "embedded:student",
        *("--harness", "lmms-eval", "--tasks", task, "--task-files", home / "tasks"),
        *("--json", "--home", home, "--set", "models.threads=1"),
        HF_HUB_OFFLINE="1",
        HF_DATASETS_CACHE=str(home / "cache"),
    )


def test_lmms_eval_scores_each_question_as_our_metrics_do(home: Path) -> None:
    blobs = FileBlobs(home / "blobs")
    questions = write_task(home / "tasks", blobs, EACH)
    done = evaluate(home, TASK)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    (suite,) = told["suites"]
    assert suite["harness"] == {"name": "lmms-eval", "version": installed_version()}
    assert suite["questions"] == len(questions) == 3 * EACH

    with Ledger(home / "ledger.db") as ledger, ledger.database.reading() as connection:
        ((key,),) = connection.exec_driver_sql("SELECT key FROM evaluations").fetchall()
        assert connection.exec_driver_sql("SELECT count(*) FROM harness_scores").fetchall() == [(1,)]
        report = ledger.find_evaluation(told["version"], key)
    assert report is not None
    assert report.harness is not None
    rows = [json.loads(row) for row in blobs.get(report.harness.samples).decode().splitlines()]
    assert [row["target"] for row in rows] == [question.references[0] for question in questions]
    ours = [
        METRICS[METRIC_BY_DOMAIN[question.prompt.attributes["domain"]]](row["response"], question.references)
        for row, question in zip(rows, questions, strict=True)
    ]
    assert list(report.values) == pytest.approx(ours)
    assert 0.3 < suite["score"] < 0.95, "the student neither knows all nor nothing: its pictures arrive"
    assert suite["score"] == pytest.approx(sum(ours) / len(ours))
    assert suite["stderr"] == suite["scores"][0]["stderr"] > 0

    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        shown = dict(connection.execute("SELECT key, value FROM metrics"))
    assert shown[f"harness/student/{TASK}_whole/right"] == pytest.approx(suite["score"])
    assert shown[f"harness/student/{TASK}_whole/right_stderr"] == pytest.approx(suite["stderr"])


def test_our_task_files_need_the_hub_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    tasks = ROOT / "scripts" / "lmms_eval_tasks"
    with pytest.raises(HarnessFailed, match="task 'visual_probe_hard' needs data of the hub"):
        run_task("visual_probe_hard", list, tmp_path / "job", include=tasks, limit=None, time_limit_s=600)
