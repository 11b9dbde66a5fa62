"""The command line as a user meets it: exit codes, messages, and a campaign from start to finish."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from loop.config import CampaignSettings, load_settings
from tests.conftest import NETWORK_LOG, NETWORK_WATCH, ROOT, SMOKE, Calls, Ran, deltaloop, run_smoke


@pytest.fixture
def campaign_file(tmp_path: Path) -> Path:
    path = tmp_path / "campaign.toml"
    path.write_text('name = "mine"\n', encoding="utf-8")
    return path


def one_line(error: str) -> str:
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    return error


def test_no_command_and_unknown_commands_are_wrong_usage() -> None:
    assert deltaloop("--help").code == 0
    assert deltaloop("no-such-command").code == 2
    assert deltaloop("run").code == 2
    assert deltaloop("status", "--no-such-option").code == 2


def test_init_writes_a_file_that_loads_as_the_defaults(call: Calls, tmp_path: Path) -> None:
    done = call("init", tmp_path / "my campaign")
    assert done.code == 0, done.err
    path = tmp_path / "my campaign" / "campaign.toml"
    assert load_settings(path) == CampaignSettings(name="my-campaign")
    assert "\nrounds = 3\n" in path.read_text(encoding="utf-8")


def test_init_does_not_overwrite(call: Calls, campaign_file: Path) -> None:
    done = call("init", campaign_file.parent)
    assert done.code == 1
    assert "campaign.toml is there already" in one_line(done.err)
    assert campaign_file.read_text(encoding="utf-8") == 'name = "mine"\n'


@pytest.mark.parametrize(
    ("text", "key", "value", "remedy"),
    [
        ('name = "mine"\n[pool]\nsiez = 7\n', "pool.siez", "7", "remove it"),
        ('name = "mine"\nrounds = "many"\n', "rounds", "'many'", "correct the value"),
        ('name = "mine"\n[sampling]\ntemperature = -1\n', "sampling.temperature", "-1", "correct the value"),
        ('name = "mine"\n[selection]\nrule = "best"\n', "selection.rule", "'best'", "correct the value"),
        ('name = "mine"\n[pool]\nsource = "gone.jsonl"\n', "pool.source", "'gone.jsonl'", "correct the path"),
        ('name = "mine"\n[models]\nstudent = "./gone"\n', "models.student", "'./gone'", "correct the path"),
        (
            'name = "mine"\n[models]\nteacher = "embedded:none"\n',
            "models.teacher",
            "'embedded:none'",
            "embedded:teacher",
        ),
        ("rounds = 2\n", "name", "missing", "add it"),
    ],
)
def test_a_bad_campaign_file_names_key_value_and_remedy(
    call: Calls, campaign_file: Path, text: str, key: str, value: str, remedy: str
) -> None:
    campaign_file.write_text(text, encoding="utf-8")
    done = call("run", campaign_file, "--home", campaign_file.parent / "home")
    assert done.code == 2
    error = one_line(done.err)
    assert f"`{key}`" in error
    assert value in error
    assert remedy in error
    assert not (campaign_file.parent / "home").exists()


def test_an_absent_or_unreadable_campaign_file_is_wrong_usage(call: Calls, tmp_path: Path) -> None:
    done = call("run", tmp_path / "gone.toml")
    assert done.code == 2
    assert "gone.toml: there is no such campaign file" in one_line(done.err)
    (tmp_path / "torn.toml").write_text('name = "mine', encoding="utf-8")
    done = call("score", tmp_path / "torn.toml")
    assert done.code == 2
    assert "not readable as TOML" in one_line(done.err)


def test_an_override_is_checked_like_the_file(call: Calls, campaign_file: Path) -> None:
    done = call("run", campaign_file, "--set", "pool.siez=7")
    assert done.code == 2
    assert "`pool.siez`" in one_line(done.err)


def test_paths_are_relative_to_the_campaign_file(campaign_file: Path) -> None:
    campaign_file.write_text('name = "mine"\n[pool]\nsource = "prompts.jsonl"\n', encoding="utf-8")
    (campaign_file.parent / "prompts.jsonl").write_text("", encoding="utf-8")
    assert load_settings(campaign_file).pool.source == str(campaign_file.parent.resolve() / "prompts.jsonl")


def test_status_of_an_empty_home_is_no_failure(call: Calls, tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = call("status", "--home", home)
    assert done.code == 0
    assert f"no campaign in {home} yet" in done.out
    assert json.loads(call("status", "--json", "--home", home).out) is None
    assert not home.exists()


def test_an_unknown_campaign_is_named(call: Calls, tmp_path: Path) -> None:
    for command in (["status", "gone"], ["verify", "gone"], ["student", "gone", str(tmp_path / "out")]):
        done = call(*command, "--home", tmp_path)
        assert done.code == 1
        assert "no campaign `gone`" in one_line(done.err)


def test_verify_of_empty_homes_prints_one_fingerprint(call: Calls, tmp_path: Path) -> None:
    first, second = (call("verify", "--home", tmp_path / name) for name in ("first", "second"))
    assert first.code == 0, first.err
    assert first.out.startswith("fingerprint: ")
    assert len(first.out.split()[1]) == 64
    assert first.out == second.out


def test_the_ledger_can_be_elsewhere(call: Calls, tmp_path: Path) -> None:
    option, variable = tmp_path / "option.db", tmp_path / "variable.db"
    assert call("verify", "--home", tmp_path / "home", "--ledger", f"sqlite:///{option}").code == 0
    assert call("verify", "--home", tmp_path / "home", DELTALOOP_LEDGER=str(variable)).code == 0
    assert option.is_file()
    assert variable.is_file()
    assert not (tmp_path / "home" / "ledger.db").exists()


def test_a_ledger_that_cannot_be_opened_is_one_line(call: Calls, tmp_path: Path) -> None:
    done = call("status", "--home", tmp_path, "--ledger", "nosuchdatabase://me:secret@host/db")
    assert done.code == 2
    assert "secret" not in one_line(done.err)
    (tmp_path / "text.db").write_text("no database at all" * 100, encoding="utf-8")
    done = call("status", "--home", tmp_path, "--ledger", tmp_path / "text.db")
    assert done.code == 1
    assert "text.db" in one_line(done.err)


def test_a_home_that_cannot_be_made_is_one_line(call: Calls, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = call("verify", "--home", tmp_path / "file")
    assert done.code == 1
    assert "name another folder" in one_line(done.err)


@pytest.mark.slow
def test_doctor_finds_this_machine_fit_for_the_embedded_pair(tmp_path: Path) -> None:
    done = deltaloop("doctor", SMOKE, "--home", tmp_path / "home")
    assert done.code == 0, done.out + done.err
    for word in ("Python", "cores", "memory", "torch", "CUDA", "faiss", "vllm", "mlflow", "embedded:teacher"):
        assert word in done.out


def test_doctor_names_what_is_missing_and_the_remedy(call: Calls, campaign_file: Path) -> None:
    folder = campaign_file.parent / "empty"
    folder.mkdir()
    campaign_file.write_text('name = "mine"\n[models]\nstudent = "empty"\n', encoding="utf-8")
    done = call("doctor", campaign_file, "--home", campaign_file.parent / "home")
    assert done.code == 1
    assert "models.student is missing: name a folder that `save_pretrained` wrote" in one_line(done.err)


@pytest.mark.slow
def test_a_finished_campaign_tells_what_it_did(smoke_home: Path) -> None:
    summary = json.loads(deltaloop("status", "--json", "--home", smoke_home).out)
    assert (summary["campaign"], summary["status"]) == ("smoke", "completed")
    assert {"student", "teacher"} == summary["baseline"]["eval"].keys()
    (round_,) = summary["rounds"]
    assert [stage["name"] for stage in round_["stages"]][:7] == [
        "score",
        "target",
        "synthesize",
        "select",
        "distill",
        "evaluate",
        "judge",
    ]
    assert {stage["status"] for stage in round_["stages"]} == {"completed"}
    assert round_["synthesis"]["proposed"] > 0
    assert round_["train"]["steps"] > 0
    assert summary["work"] is None
    assert list((smoke_home / "progress").iterdir()) == [], "the run told how far it was, and ended"
    table = deltaloop("status", "smoke", "--home", smoke_home).out
    assert "campaign smoke: completed" in table
    assert "nan" not in table.lower()


@pytest.mark.slow
def test_the_embedded_pair_never_reaches_for_the_network(smoke_home: Path) -> None:
    log = smoke_home.parent / NETWORK_LOG
    assert not log.exists(), log.read_text(encoding="utf-8")


def test_the_network_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NETWORK_WATCH.format(log=str(tmp_path / "log")), encoding="utf-8")
    program = "import socket; socket.getaddrinfo('localhost', 80)"
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=env, check=True)
    assert "localhost" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_running_a_finished_campaign_changes_nothing_and_loads_no_model(smoke_home: Path) -> None:
    before = deltaloop("verify", "--home", smoke_home)
    files = files_of(smoke_home)
    done = deltaloop("run", SMOKE, "--home", smoke_home, PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0
    assert "nothing to do" in done.out
    assert "sqlalchemy" in done.err
    assert " torch\n" not in done.err
    assert files_of(smoke_home) == files
    after = deltaloop("verify", "--home", smoke_home)
    assert (before.code, after.code) == (0, 0), after.out
    assert before.out == after.out


def fingerprint_of(verified: Ran) -> str:
    """The last line; how many blobs no row names differs between an interrupted run and an undisturbed one."""
    line = verified.out.splitlines()[-1]
    assert line.startswith("fingerprint: ")
    return line


@pytest.mark.slow
def test_two_homes_hold_the_same_facts(smoke_home: Path, tmp_path: Path) -> None:
    other = run_smoke(tmp_path / "other")
    first, second = (deltaloop("verify", "smoke", "--home", home) for home in (smoke_home, other))
    assert first.code == 0, first.out
    assert fingerprint_of(first) == fingerprint_of(second)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_facts(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [Path(sys.executable).parent / "deltaloop", "run", SMOKE, "--home", home]
    # A test run in the background ignores Ctrl-C, and what it starts would inherit that.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, preexec_fn=listen) as process:
        wait_for_stage(home, "score", process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert "interrupted: what is committed is kept" in err
    assert json.loads(deltaloop("status", "--json", "--home", home).out)["status"] == "stopped"
    done = deltaloop("run", SMOKE, "--home", home)
    assert done.code == 0, done.err
    first, second = (deltaloop("verify", "smoke", "--home", place) for place in (smoke_home, home))
    assert fingerprint_of(first) == fingerprint_of(second)


@pytest.mark.slow
def test_a_damaged_blob_is_found(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(smoke_home, home)
    victim = max((path for path in (home / "blobs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    victim.chmod(0o644)
    victim.write_bytes(b"not what it was")
    done = deltaloop("verify", "--home", home)
    assert done.code == 1
    assert victim.name in done.out
    assert "fingerprint: " in done.out
    assert "restore" in one_line(done.err)


@pytest.mark.slow
def test_a_score_is_told_and_kept(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(smoke_home, home)
    first = deltaloop("score", SMOKE, "--home", home)
    assert first.code == 0, first.err
    for word in ("Δ mean", "quantiles", "zero-delta", "consistency", "by skill"):
        assert word in first.out
    second = deltaloop("score", SMOKE, "--home", home)
    assert (second.code, second.out) == (0, first.out)


@pytest.mark.slow
def test_the_student_of_a_round_is_a_folder_that_loads(smoke_home: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = tmp_path / "student"
    done = deltaloop("student", "smoke", folder, "--round", "1", "--home", smoke_home)
    assert done.code == 0, done.err
    AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True)
    assert AutoProcessor.from_pretrained(folder, local_files_only=True).image_processor is not None
    card = (folder / "README.md").read_text(encoding="utf-8")
    version = json.loads(deltaloop("status", "--json", "--home", smoke_home).out)["rounds"][0]["student_version"]
    for fact in (version, "embedded:student", "embedded:teacher", "smoke", "training set", "chart", "transformers"):
        assert fact in card
    again = deltaloop("student", "smoke", folder, "--round", "1", "--home", smoke_home)
    assert again.code == 1
    assert "is there already" in one_line(again.err)


def files_of(home: Path) -> dict[str, int]:
    """Path and size of every file but those that SQLite keeps while a database is open."""
    names = ("-wal", "-shm")
    return {
        str(path): path.stat().st_size for path in home.rglob("*") if path.is_file() and not path.name.endswith(names)
    }


def wait_for_stage(home: Path, stage: str, process: subprocess.Popen[str]) -> None:
    """Until the stage of round 1 has begun."""
    from store.ledger import Ledger

    while process.poll() is None:
        if (home / "ledger.db").exists():
            with Ledger(home / "ledger.db") as ledger:
                if ledger.find_stage("smoke", 1, stage) is not None:
                    return
        time.sleep(0.2)
    raise AssertionError(f"the run ended with {process.returncode} before its stage `{stage}`")


def test_a_backup_of_a_home_is_restored_and_verified(call: Calls, tmp_path: Path) -> None:
    archive, home = tmp_path / "backup.tar", tmp_path / "home"
    assert call("status", "--home", home).code == 0
    made = call("backup", archive, "--home", home)
    assert made.code == 0, made.err
    restored = call("restore", archive, "--home", tmp_path / "new")
    assert restored.code == 0, restored.err
    checked = call("verify", "--home", tmp_path / "new")
    assert {shown.out.splitlines()[-1] for shown in (made, restored, checked)} == {made.out.splitlines()[-1]}
    again = call("restore", archive, "--home", tmp_path / "new")
    assert again.code == 1
    assert "is not empty" in one_line(again.err)
