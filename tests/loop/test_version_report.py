"""What `deltaloop evaluate` is told, and what it tells; and a campaign whose rounds ask a harness too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loop.adapters.harness.suites import HarnessEvaluator
from loop.campaign import run_campaign
from loop.config import CampaignSettings, load_settings
from loop.harness_place import VARIABLE
from loop.ports import Ports
from loop.stages import recorded
from loop.summary import metrics_of
from loop.version_report import Wanted, evaluate_target, find_target, report_json, report_table
from store.errors import DeltaloopError, UsageError
from store.records import HarnessResult, HarnessScore, Report, SuiteReport, Trained, Verdict, Version
from tests.conftest import Calls
from tests.fakes import QuietProgress, fake_ports, fake_settings
from tests.loop.adapters.harness.fake_harness import write_interpreter

VERSION = Version("v" * 64, "student", "embedded:student", round=2)  # type: ignore[arg-type]
OWN = SuiteReport("chart", "relaxed_accuracy", ("a", "b"), (1.0, 0.0), ("", ""))
SCORES = (HarnessScore("relaxed_overall", 0.75, 0.1), HarnessScore("relaxed_human", 0.5, None))
TASK = SuiteReport(
    "chartqapro_whole",
    "relaxed_overall",
    ("0", "1"),
    (1.0, 0.5),
    ("", ""),
    HarnessResult("lmms-eval", "0.7.3", SCORES, "b" * 64),
)
WHOLE_ONLY = replace(TASK, suite="seedbench_2_plus", prompt_ids=(), values=(), families=())


def test_the_json_object_has_every_key_whatever_is_known() -> None:
    told = report_json(VERSION, "mine", [OWN, TASK, WHOLE_ONLY])
    assert json.loads(json.dumps(told, allow_nan=False)) == {
        "version": VERSION.id,
        "source": "embedded:student",
        "campaign": "mine",
        "round": 2,
        "suites": [
            {
                "suite": "chart",
                "whole": False,
                "metric": "relaxed_accuracy",
                "score": 0.5,
                "stderr": 0.5,
                "questions": 2,
                "harness": None,
                "scores": [],
            },
            {
                "suite": "chartqapro",
                "whole": True,
                "metric": "relaxed_overall",
                "score": 0.75,
                "stderr": 0.1,
                "questions": 2,
                "harness": {"name": "lmms-eval", "version": "0.7.3"},
                "scores": [
                    {"metric": "relaxed_overall", "value": 0.75, "stderr": 0.1},
                    {"metric": "relaxed_human", "value": 0.5, "stderr": None},
                ],
            },
            {
                "suite": "seedbench_2_plus",
                "whole": False,
                "metric": "relaxed_overall",
                "score": 0.75,
                "stderr": 0.1,
                "questions": None,
                "harness": {"name": "lmms-eval", "version": "0.7.3"},
                "scores": told["suites"][1]["scores"],
            },
        ],
    }


def test_the_table_has_a_row_for_each_metric() -> None:
    assert report_table([OWN, TASK, WHOLE_ONLY]).row_count == 1 + 2 + 2


def test_a_harness_s_numbers_have_names_that_mlflow_takes() -> None:
    odd = replace(TASK, harness=HarnessResult("lmms-eval", "0.7.3", (HarnessScore("exact,flexible", 1.0, 0.0),), "b"))
    numbers = metrics_of("evaluate", Report("v", (odd,), ()))
    assert numbers["harness/student/chartqapro_whole/exact_flexible"] == 1.0
    assert numbers["harness/student/chartqapro_whole/exact_flexible_stderr"] == 0.0


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ports, CampaignSettings]:
    """A fake campaign whose rounds ask the fake harness after the fake suites."""
    folder = tmp_path_factory.mktemp("ran")
    evaluation = {"main": ["easy", "arithmetic"], "beside": [], "harness": "lmms-eval", "tasks": ["arithmetic"]}
    settings = fake_settings(rounds=1, evaluation=evaluation | {"questions": 2})
    ports, student, teacher = fake_ports(folder)
    evaluator = HarnessEvaluator(
        ports.evaluator,
        ports.samplers,
        ports.blobs,
        sampling=settings.sampling,
        evaluation=settings.evaluation,
        work_dir=ports.work_dir,
    )
    ports = replace(ports, evaluator=evaluator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(write_interpreter(folder)))
        run_campaign(settings, ports, student, teacher)
    return ports, settings


def test_a_round_asks_the_harness_and_judges_by_its_questions_too(ran: tuple[Ports, CampaignSettings]) -> None:
    ports, _ = ran
    report = recorded(ports.ledger, ports.blobs, "fake", 1, "evaluate", Report)
    assert report is not None
    assert [suite.suite for suite in report.suites] == ["easy", "hard", "arithmetic"]
    task = report.suites[-1]
    assert len(task.values) == 2
    assert task.harness is not None
    assert task.harness.harness_version == "0.7.3"
    assert report.mean == pytest.approx((report.suites[0].accuracy + task.accuracy) / 2)
    verdict = recorded(ports.ledger, ports.blobs, "fake", 1, "judge", Verdict)
    assert verdict is not None
    closing = recorded(ports.ledger, ports.blobs, "fake", 1, "close", Report)
    assert closing is not None
    assert [len(suite.values) for suite in closing.suites if suite.harness] == [3]


def test_a_campaign_s_student_is_found_and_not_asked_again(
    ran: tuple[Ports, CampaignSettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ports, settings = ran
    trained = recorded(ports.ledger, ports.blobs, "fake", 1, "distill", Trained)
    assert trained is not None
    target = find_target(ports.ledger, ports.blobs, "fake", 1, Wanted())
    assert (target.version, target.campaign) == (trained.version, "fake")
    assert target.settings == settings
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    found = evaluate_target(target, trained.version, ports.evaluator, ports.ledger, QuietProgress(), whole=False)
    assert found == recorded(ports.ledger, ports.blobs, "fake", 1, "evaluate", Report).suites  # type: ignore[union-attr]


def test_the_whole_of_a_task_does_not_depend_on_the_share_of_a_round(
    ran: tuple[Ports, CampaignSettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ports, _ = ran
    closing = recorded(ports.ledger, ports.blobs, "fake", 1, "close", Report)
    assert closing is not None
    target = find_target(ports.ledger, ports.blobs, "fake", 1, Wanted(overrides=("evaluation.questions=3",)))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    version = ports.ledger.version(closing.version)
    (*_, task) = evaluate_target(target, version, ports.evaluator, ports.ledger, QuietProgress(), whole=True)
    assert task == closing.suites[-1]


def test_options_change_the_settings(ran: tuple[Ports, CampaignSettings], tmp_path: Path) -> None:
    ports, _ = ran
    wanted = Wanted("lmms-eval", ("a", "b"), tmp_path, 7, ("evaluation.batch=3",))
    evaluation = find_target(ports.ledger, ports.blobs, "fake", 1, wanted).settings.evaluation
    assert (evaluation.tasks, evaluation.main, evaluation.beside) == (("a", "b"), (), ())
    assert (evaluation.task_files, evaluation.questions, evaluation.batch) == (str(tmp_path), 7, 3)
    model = find_target(ports.ledger, ports.blobs, str(tmp_path), None, wanted)
    assert (model.version, model.campaign) == (None, None)
    assert model.settings.models.student == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "round", "wanted", "message"),
    [
        ("nobody", None, Wanted(), "no campaign `nobody`.*there is: fake"),
        ("org/model", 2, Wanted(), "--round 2: 'org/model' is a model"),
        ("fake", 7, Wanted(), "round 7 of `fake` has no trained student"),
        ("org/model", None, Wanted(tasks=("a",)), "add --harness lmms-eval"),
        ("org/model", None, Wanted("lmms-eval"), "name its tasks with --tasks"),
        ("org/model", None, Wanted("another", ("a",)), "evaluation.harness.*'another'"),
        ("org/model", None, Wanted("lmms-eval", ("a",), Path("nowhere")), "--task-files nowhere: there is no such"),
        ("org/model", None, Wanted(overrides=("evaluation.color=1",)), "unknown key `evaluation.color`"),
    ],
)
def test_what_cannot_be_evaluated_is_told(
    ran: tuple[Ports, CampaignSettings], name: str, round: int | None, wanted: Wanted, message: str
) -> None:
    ports, _ = ran
    with pytest.raises(DeltaloopError, match=message):
        find_target(ports.ledger, ports.blobs, name, round, wanted)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('harness = "lmms-eval"', "has nothing to run: name evaluation.tasks"),
        ('tasks = ["chartqapro"]', 'set harness = "lmms-eval"'),
        ('harness = "lmms-eval"\ntasks = ["a"]\ntask_files = "nowhere"', "evaluation.task_files.*there is no folder"),
    ],
)
def test_a_campaign_file_names_both_harness_and_tasks(tmp_path: Path, keys: str, message: str) -> None:
    (tmp_path / "campaign.toml").write_text(f'name = "mine"\n[evaluation]\n{keys}\n')
    with pytest.raises(UsageError, match=message):
        load_settings(tmp_path / "campaign.toml")


def test_task_files_are_beside_the_campaign_file(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    keys = 'harness = "lmms-eval"\ntasks = ["a"]\ntask_files = "tasks"'
    (tmp_path / "campaign.toml").write_text(f'name = "mine"\n[evaluation]\n{keys}\n')
    assert load_settings(tmp_path / "campaign.toml").evaluation.task_files == str(tmp_path / "tasks")


def test_doctor_says_whether_the_harness_is_there(call: Calls, tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text('name = "mine"\n[evaluation]\nharness = "lmms-eval"\ntasks = ["chartqapro"]\n')
    nowhere = {VARIABLE: str(tmp_path / "nowhere")}
    done = call("doctor", file, "--home", tmp_path / "home", **nowhere)
    assert done.code == 1
    assert "lmms-eval is missing: sh scripts/setup_lmms_eval.sh makes it" in done.err
    file.write_text('name = "mine"\n')
    assert call("doctor", file, "--home", tmp_path / "home", **nowhere).code == 0


def test_the_command_evaluates_a_model_and_prints_one_object(call: Calls, tmp_path: Path) -> None:
    asked = ("evaluate", "embedded:student", "--harness", "lmms-eval", "--tasks", "arithmetic", "--json")
    options = ("--home", tmp_path / "home", "--set", "tracking.mlflow=false", "--set", "models.threads=1")
    done = call(*asked, *options, **{VARIABLE: str(write_interpreter(tmp_path))})
    assert done.code == 0, done.err
    (suite,) = json.loads(done.out)["suites"]
    assert (suite["suite"], suite["whole"], suite["questions"]) == ("arithmetic", True, 3)
    again = call(*asked, *options, **{VARIABLE: str(tmp_path / "nowhere")})
    assert again.out == done.out, "what is known is not asked again"
