"""A training in processes of its own: it learns what one process learns, and ends when its controller ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from loop.adapters.launching import LaunchedTrainer, check_config
from loop.adapters.models import Models
from loop.adapters.trainer import DistillingTrainer
from loop.config import CampaignSettings, load_settings
from loop.ports import TrainingJob
from loop.training_settings import Hardware, Training
from store.blobs import FileBlobs
from store.errors import ModelUnusable, UsageError
from store.records import Version
from tests.conftest import ROOT
from tests.tiny_models import WORDS, make_prompts, version_of, write_model
from tests.trainings import SHORT, Interrupted, Steps

Pair = tuple[Version, Version]
AHEAD = SHORT.model_copy(update={"sync_steps": 2})
TWO = AHEAD.model_copy(update={"hardware": Hardware(processes=2, accumulation=2)})


def launched(models: Models, tmp_path: Path) -> LaunchedTrainer:
    settings = CampaignSettings.model_validate({"name": "x", "models": {"device": "cpu", "threads": 1}})
    return LaunchedTrainer(settings, models, blobs=tmp_path / "blobs", checkpoints=tmp_path / "checkpoints")


def test_two_processes_learn_what_one_learns_and_resume(
    models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    """Responses differ in length, so that a mean of the processes' means would not be the mean over all tokens."""
    job = TrainingJob(*pair, make_prompts(5, blobs), [1.0] * 5, TWO, seed=11)
    trainer = launched(models, tmp_path)
    with pytest.raises(Interrupted):
        trainer.train(job, work_dir=tmp_path / "work" / "distill", progress=Steps(until=2))
    assert not [one for one in psutil.Process().children(recursive=True) if "train_process" in " ".join(one.cmdline())]
    steps = Steps()
    two = trainer.train(job, work_dir=tmp_path / "work" / "distill", progress=steps)
    assert steps.done == two.steps == 6
    alone = TrainingJob(*pair, job.prompts, job.weights, AHEAD, seed=11)
    one = DistillingTrainer(models).train(alone, work_dir=tmp_path / "one", progress=Steps())
    assert (two.train_tokens, two.alarm) == (one.train_tokens, "")
    for ours, theirs in zip(one.history, two.history, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-3)
        assert theirs.grad_norm == pytest.approx(ours.grad_norm, rel=1e-3)
        assert theirs.response_tokens == pytest.approx(ours.response_tokens)
    weights = [load_file(run.folder / "model.safetensors") for run in (one, two)]
    for name, value in weights[0].items():
        assert weights[1][name].numpy() == pytest.approx(value.numpy(), abs=1e-4), name
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["distill"], "the orders are removed"


def test_processes_that_find_a_fault_tell_it_in_one_line(
    models: Models, pair: Pair, blobs: FileBlobs, tmp_path: Path
) -> None:
    other = version_of(write_model(tmp_path / "other", seed=2, words=(*WORDS[:-1], "zebra")))
    job = TrainingJob(pair[0], other, make_prompts(4, blobs), [1.0] * 4, TWO, seed=11)
    with pytest.raises(ModelUnusable, match="the first is 'thing'"):
        launched(models, tmp_path).train(job, work_dir=tmp_path / "work" / "distill", progress=Steps())


def test_what_processes_cannot_do_is_refused_when_the_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="cannot be cut into"):
        Training(batch=6, hardware=Hardware(processes=4))
    with pytest.raises(ValidationError, match=r"training\.hardware\.processes is not for backend"):
        Training(backend="trl", hardware=Hardware(processes=2))
    given = {"name": "x", "engines": {"teacher": {"kind": "vllm"}}, "training": {"hardware": {"processes": 2}}}
    with pytest.raises(ValidationError, match="a vLLM engine of its own"):
        CampaignSettings.model_validate(given)
    file = tmp_path / "campaign.toml"
    file.write_text('name = "x"\n[training.hardware]\naccelerate_config = "fsdp.yaml"\n')
    with pytest.raises(UsageError, match=r"there is no file .*fsdp\.yaml; `accelerate config"):
        load_settings(file)
    (tmp_path / "fsdp.yaml").touch()
    assert load_settings(file).training.hardware.accelerate_config == str(tmp_path / "fsdp.yaml")


def test_only_what_leaves_whole_weights_in_each_process_is_taken_of_accelerate(tmp_path: Path) -> None:
    shipped = ROOT / "scripts" / "campaigns" / "accelerate" / "deepspeed_zero2.yaml"
    check_config(str(shipped))
    text = shipped.read_text(encoding="utf-8")
    for wrong, message in (
        (text.replace("zero_stage: 2", "zero_stage: 3"), "DEEPSPEED ZeRO-3 keeps the weights in pieces"),
        (text.replace("DEEPSPEED", "FSDP"), "FSDP keeps the weights in pieces"),
        ("- nothing: [", "is no configuration of accelerate"),
        ("unheard_of: 1", "is no configuration of accelerate"),
    ):
        (tmp_path / "wrong.yaml").write_text(wrong, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            check_config(str(tmp_path / "wrong.yaml"))


CONTROLLER = """
import sys
from pathlib import Path
from loop.adapters.launching import started

with started([sys.executable, "-m", "tests.waiting_process", sys.argv[1]], Path(sys.argv[1]), 1) as processes:
    processes.wait()
"""


def test_a_killed_controller_leaves_no_process_that_trains(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    controller = subprocess.Popen([sys.executable, "-c", CONTROLLER, str(tmp_path)], env=environment, cwd=ROOT)
    pid = _eventually(lambda: int((tmp_path / "pid").read_text()))
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    _eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE or None)


def _eventually(look: Any, within_s: float = 60.0) -> Any:
    """What `look` finds, once it finds something."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            found = look()
        except (OSError, ValueError, psutil.Error):
            found = None
        if found is not None:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing within {within_s} s")
