"""A training in processes of its own: it learns what one process learns, and ends when its controller ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file

from loop.adapters import launching
from loop.adapters.launched import train_as_ordered
from loop.adapters.launching import ORDERS, OUTPUT, LaunchedTrainer, Orders, _outcome, check_config
from loop.adapters.models import Models
from loop.adapters.trainer import DistillingTrainer
from loop.config import CampaignSettings, load_settings
from loop.ports import TrainingJob, TrainingRun
from loop.training_settings import Hardware, Training
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.errors import DeltaloopError, ModelUnusable, UsageError
from store.records import Version
from tests.conftest import ROOT
from tests.tiny_models import WORDS, make_prompts, version_of, write_model
from tests.trainings import SHORT, Steps

CONFIGS = ROOT / "scripts" / "campaigns" / "accelerate"
SHARDED = CONFIGS / "fsdp2.yaml"
Pair = tuple[Version, Version]
AHEAD = SHORT.model_copy(update={"sync_steps": 2})
TWO = Hardware(processes=2, accumulation=2)
ACCELERATED = TWO.model_copy(update={"accelerate_config": str(CONFIGS / "cpu.yaml")})


def launched(models: Models, tmp_path: Path) -> LaunchedTrainer:
    settings = CampaignSettings.model_validate({"name": "x", "models": {"device": "cpu", "threads": 1}})
    return LaunchedTrainer(settings, models, blobs=tmp_path / "blobs", checkpoints=tmp_path / "checkpoints")


def job_in(tmp_path: Path, pair: Pair, hardware: Hardware) -> TrainingJob:
    """Responses differ in length, so that a mean of the processes' means would not be the mean over all tokens."""
    prompts = make_prompts(5, FileBlobs(tmp_path / "blobs"))
    return TrainingJob(*pair, prompts, [1.0] * 5, AHEAD.model_copy(update={"hardware": hardware}), seed=11)


def assert_learnt_the_same(ours: TrainingRun, theirs: TrainingRun) -> None:
    assert (ours.train_tokens, ours.alarm) == (theirs.train_tokens, "")
    for one, other in zip(ours.history, theirs.history, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-5)
        assert one.response_tokens == pytest.approx(other.response_tokens)
    weights = [load_file(run.folder / "model.safetensors") for run in (ours, theirs)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        assert weights[1][name].numpy() == pytest.approx(value.numpy(), abs=1e-6), name


class Killing(Steps):
    """Progress that ends this very process as `kill -9` does, after a number of steps."""

    def _advance(self, done: int, /) -> None:
        self.done += done
        if self.done >= self.until:
            os.kill(os.getpid(), signal.SIGKILL)


def train_and_be_killed(tmp_path: Path, student: Path, teacher: Path, work: Path) -> None:
    """A controller that starts two processes by accelerate and is killed after two steps."""
    launching.LOOK_S = 0.01
    models = Models(FileBlobs(tmp_path / "blobs"), FileCheckpoints(tmp_path / "checkpoints"), device="cpu", threads=1)
    job = job_in(tmp_path, (version_of(student), version_of(teacher)), ACCELERATED)
    launched(models, tmp_path).train(job, work_dir=work, progress=Killing(until=2))


CONTROLLER = """
import sys
from pathlib import Path
from tests.loop.adapters.test_launching import train_and_be_killed

train_and_be_killed(*map(Path, sys.argv[1:]))
"""


def test_torchrun_and_accelerate_learn_what_one_process_learns_and_a_killed_controller_changes_nothing(
    models: Models, pair: Pair, tmp_path: Path
) -> None:
    one = DistillingTrainer(models).train(
        job_in(tmp_path, pair, Hardware()), work_dir=tmp_path / "one", progress=Steps()
    )
    trainer, work, steps = launched(models, tmp_path), tmp_path / "work" / "distill", Steps()
    two = trainer.train(job_in(tmp_path, pair, TWO), work_dir=tmp_path / "work" / "torchrun", progress=steps)
    assert steps.done == two.steps == 6
    assert_learnt_the_same(two, one)

    sources = [version.source for version in pair]
    command = [sys.executable, "-c", CONTROLLER, str(tmp_path), *sources, str(work)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, cwd=ROOT, timeout=120).returncode == -signal.SIGKILL
    _eventually(lambda: None if _training(work) else True)
    assert (work / "inputs").exists()
    assert not (work / "model").exists()
    again = trainer.train(job_in(tmp_path, pair, ACCELERATED), work_dir=work, progress=Steps())
    assert folder_digest(again.folder) == folder_digest(two.folder)
    assert again.history == two.history


class KillingWorker(Steps):
    """Progress that kills one of the processes that train, as one does that is out of memory."""

    def __init__(self, work: Path, until: int) -> None:
        super().__init__(until)
        self._work = work

    def _advance(self, done: int, /) -> None:
        self.done += done
        if self.until is not None and self.done >= self.until:
            self.until = None
            next(one for one in _training(self._work) if "--config_file" not in one.cmdline()).kill()


def test_a_student_in_pieces_learns_what_a_whole_one_learns_though_a_process_is_killed(
    models: Models, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FSDP2 on two CPUs: drawing, clipping, parts, checkpoints, resume, and the folder at the end."""
    monkeypatch.setattr(launching, "LOOK_S", 0.01)
    job = job_in(tmp_path, pair, TWO.model_copy(update={"accelerate_config": str(SHARDED)}))
    trainer, work = launched(models, tmp_path), tmp_path / "work" / "distill"
    with pytest.raises(DeltaloopError, match=r"ended with 1 and no student; .*: Signal 9 \(SIGKILL\) received"):
        trainer.train(job, work_dir=work, progress=KillingWorker(work, until=3))
    assert (work / "checkpoint-2" / "pytorch_model_fsdp.bin").exists(), "it was in pieces"
    two = trainer.train(job, work_dir=work, progress=Steps())
    one = DistillingTrainer(models).train(
        job_in(tmp_path, pair, Hardware()), work_dir=tmp_path / "one", progress=Steps()
    )
    assert two.steps == 6
    assert_learnt_the_same(two, one)


def _training(work: Path) -> list[psutil.Process]:
    """Processes that train for the controller of a folder, whoever started them."""
    folder = str(work.parent / "launch-")
    return [one for one in psutil.process_iter() if any(word.startswith(folder) for word in _words(one))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_what_tells_most_is_shown_of_processes_that_failed(tmp_path: Path) -> None:
    first, second = "[rank1]: ValueError: no such layer", "[rank0]: RuntimeError: closed by peer"
    rest = "exitcode : 1\ntraceback : Signal 15 (SIGTERM) received by PID 8"
    for said, shown in (
        (f"warning\n{first}\n{second}\n{rest}", first),
        (
            f"{second}\n{rest}\ntraceback : Signal 9 (SIGKILL) received by PID 7\n",
            "Signal 9 (SIGKILL) received by PID 7",
        ),
        ("no such\nprogram\n", "no such program"),
    ):
        (tmp_path / OUTPUT).write_text(said, encoding="utf-8")
        with pytest.raises(DeltaloopError, match=rf"of which: {re.escape(shown)}$"):
            _outcome(tmp_path, 1)


def test_a_fault_that_a_process_finds_is_told_in_one_line(models: Models, pair: Pair, tmp_path: Path) -> None:
    other = version_of(write_model(tmp_path / "other", seed=2, words=(*WORDS[:-1], "zebra")))
    fewer = Hardware(processes=2, accelerate_config="one.yaml")
    started = r"processes = 2, but 1 were started; set distributed_type in one\.yaml"
    (tmp_path / OUTPUT).touch()
    for job, kind, message in (
        (job_in(tmp_path, pair, fewer), UsageError, started),
        (job_in(tmp_path, (pair[0], other), Hardware()), ModelUnusable, "the first is 'thing'"),
    ):
        orders = launched(models, tmp_path)._orders(job, tmp_path / "work" / "distill")
        (tmp_path / ORDERS).write_bytes(TypeAdapter(Orders).dump_json(orders))
        assert train_as_ordered(tmp_path, Steps(), first=True) == 1
        with pytest.raises(kind, match=message):
            _outcome(tmp_path, 1)


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


def test_only_what_lets_a_student_draw_is_taken_of_accelerate(tmp_path: Path) -> None:
    shipped = CONFIGS / "deepspeed_zero2.yaml"
    for file in CONFIGS.glob("*.yaml"):
        check_config(Hardware(accelerate_config=str(file)))
    with pytest.raises(UsageError, match="DeepSpeed would hold the student's weights in bfloat16"):
        check_config(Hardware(accelerate_config=str(shipped), bf16=True))
    text, sharded = shipped.read_text(encoding="utf-8"), SHARDED.read_text(encoding="utf-8")
    for wrong, message in (
        (text.replace("zero_stage: 2", "zero_stage: 3"), "DEEPSPEED ZeRO-3 keeps the weights in pieces"),
        (text.replace('"no"', "bf16"), "mixed_precision = 'bf16'; set it to \"no\" there, and training.hardware.bf16"),
        (text.replace("DEEPSPEED", "MULTI_CPU"), "MULTI_CPU is started by MPI"),
        (text.replace("DEEPSPEED", "MEGATRON_LM"), "MEGATRON_LM keeps the weights in pieces"),
        (text.replace("DEEPSPEED", "FSDP"), "fsdp_config.fsdp_version = None: the first version"),
        (sharded.replace("loading: false", "loading: true"), "a teacher without weights; set it to False"),
        (sharded.replace("FULL_STATE", "SHARDED_STATE"), "'SHARDED_STATE_DICT': checkpoints in pieces are pickled"),
        ("- nothing: [", "is no configuration of accelerate"),
        ("unheard_of: 1", "is no configuration of accelerate"),
    ):
        (tmp_path / "wrong.yaml").write_text(wrong, encoding="utf-8")
        with pytest.raises(UsageError, match=message):
            check_config(Hardware(accelerate_config=str(tmp_path / "wrong.yaml")))


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
