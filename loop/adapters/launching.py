"""A training in processes of its own: torchrun, or `accelerate launch`, as a child of the controller.

    job -> orders.json -> N processes of `loop.train_process`, which train as `distillation_loop` does under torchrun
    steps        a line for each advance of the first process -> the controller's progress, which may end the training
    run.json     what came out;  error.json: an expected failure, raised again here;  output: what the processes said

The processes hold the reading end of a pipe whose writing end is the controller's: when the controller ends, however it
ends, they read its end and end themselves, so that none trains on for nobody. A restart resumes from the last whole
checkpoint, as a training in the controller does.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import TypeAdapter

import loop
import store.errors
from loop.adapters.models import Models
from loop.config import CampaignSettings
from loop.ports import Advance, Progress, TrainingJob, TrainingRun
from loop.training_settings import Hardware
from store.errors import DeltaloopError, UsageError
from store.records import Prompt, Version

log = logging.getLogger(__name__)

ORDERS, RUN, ERROR, STEPS, OUTPUT = "orders.json", "run.json", "error.json", "steps", "output"
LOOK_S = 0.5
"""How often the controller looks for steps."""
GRACE_S = 15.0
"""What the processes get to end by themselves."""
FSDP2: dict[str, tuple[tuple[Any, ...], str]] = {
    "fsdp_version": ((2,), "the first version holds weights in a way that ours does not know"),
    "fsdp_auto_wrap_policy": (("TRANSFORMER_BASED_WRAP", "NO_WRAP"), "torch refuses to cut models by size"),
    "fsdp_state_dict_type": (("FULL_STATE_DICT",), "checkpoints in pieces are pickled, and nothing is unpickled here"),
    "fsdp_cpu_ram_efficient_loading": ((False,), "all processes but the first would have a teacher without weights"),
    "fsdp_offload_params": ((False, None), "that is not known to work"),
    "fsdp_activation_checkpointing": ((False, None), "training.hardware.gradient_checkpointing does it"),
}
"""What `fsdp_config` has to say, None where it may be silent, and why."""
SHOWN = 500
"""Characters of what failed processes said, at most."""
TELLING = (
    r"Signal \d+ \((?!SIGTERM)\w+\) received by PID \d+",  # SIGTERM is what the others get then
    r"^(?:\[rank\d+\]: ?)?[\w.]+Error: .*$",
)
"""What to show of it: that a process was killed, as one is that is out of memory; else the first error, of which the
others' follow; else its end."""


@dataclass(frozen=True)
class Orders:
    """What the processes are told: a `TrainingJob` as facts, and where its campaign lives."""

    blobs: str
    checkpoints: str
    work_dir: str
    settings: dict[str, Any]
    """Of the campaign."""
    student: Version
    teacher: Version
    prompts: tuple[Prompt, ...]
    weights: tuple[float, ...]
    seed: int
    traces: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Failure:
    """An expected failure of a process."""

    kind: str
    """Of `store.errors`."""
    message: str


class LaunchedTrainer:
    """Trains in as many processes as the settings say."""

    def __init__(self, settings: CampaignSettings, models: Models, *, blobs: Path, checkpoints: Path) -> None:
        """The two folders are those of the campaign's home, which the processes read for themselves."""
        self._settings = settings
        self._models = models
        self._blobs = blobs
        self._checkpoints = checkpoints

    def train(self, job: TrainingJob, *, work_dir: Path, progress: Progress) -> TrainingRun:
        """As `DistillingTrainer.train`, with its errors; DeltaloopError if the processes end otherwise."""
        self._models.release()
        work_dir.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="launch-", dir=work_dir.parent) as name:
            folder = Path(name)
            (folder / ORDERS).write_bytes(TypeAdapter(Orders).dump_json(self._orders(job, work_dir)))
            with (
                progress.bar("training steps", job.settings.steps) as advance,
                started(command(job.settings.hardware, folder), folder, self._settings.models.threads) as processes,
            ):
                _follow(processes, folder / STEPS, advance)
            return _outcome(folder, processes.returncode)

    def _orders(self, job: TrainingJob, work_dir: Path) -> Orders:
        settings = self._settings.model_copy(update={"training": job.settings})
        return Orders(
            str(self._blobs),
            str(self._checkpoints),
            str(work_dir),
            settings.model_dump(mode="json"),
            job.student,
            job.teacher,
            tuple(job.prompts),
            tuple(job.weights),
            job.seed,
            {id: tuple(texts) for id, texts in job.traces.items()},
        )


def check_config(hardware: Hardware) -> None:
    """UsageError unless the file, if there is one, is accelerate's, and lets a student draw, learn and be written.

    It draws with whole weights, for its responses in one process end before those in another: with weights in pieces,
    each token would have to wait for all processes. FSDP2's are put together for that (`pieces`), those of others are
    not. MULTI_CPU is MPI's: without it, accelerate starts one process only. DeepSpeed's bfloat16 is that of the weights
    themselves, which a round moves by less than what that leaves of them.
    """
    if hardware.accelerate_config is None:
        return
    config = _read(hardware.accelerate_config)
    kind = str(getattr(config.distributed_type, "value", config.distributed_type))
    stage = (getattr(config, "deepspeed_config", None) or {}).get("zero_stage", 0)
    fault = ""
    if kind == "MULTI_CPU":
        fault = (
            "MULTI_CPU is started by MPI, which is not used here; take MULTI_GPU with use_cpu: true, as cpu.yaml does"
        )
    elif kind == "MEGATRON_LM" or stage == 3:
        fault = (
            f"{kind}{' ZeRO-3' * (stage == 3)} keeps the weights in pieces, and the student draws its own responses"
            " with whole ones; take FSDP2, as fsdp2.yaml does"
        )
    elif config.mixed_precision not in (None, "no"):
        fault = (
            f'mixed_precision = {config.mixed_precision!r}; set it to "no" there, and training.hardware.bf16 = true in'
            " the campaign"
        )
    elif kind == "DEEPSPEED" and hardware.bf16:
        fault = (
            "with training.hardware.bf16 = true, DeepSpeed would hold the student's weights in bfloat16; set it to"
            " false, or take FSDP2, as fsdp2.yaml does"
        )
    elif kind == "FSDP":
        fault = _fault_of_fsdp2(config.fsdp_config)
    if fault:
        raise UsageError(
            f"training.hardware.accelerate_config = {hardware.accelerate_config!r}: {fault} (the files named are in"
            " scripts/campaigns/accelerate)"
        )


def _fault_of_fsdp2(given: dict[str, Any]) -> str:
    for name, (wanted, why) in FSDP2.items():
        if given.get(name) not in wanted:
            return f"fsdp_config.{name} = {given.get(name)!r}: {why}; set it to {wanted[0]}, as fsdp2.yaml does"
    return ""


def _read(file: str) -> Any:
    from accelerate.commands.config.config_args import load_config_from_file

    try:
        return load_config_from_file(file)
    except Exception as error:  # whatever a YAML parser or accelerate makes of it
        raise UsageError(
            f"training.hardware.accelerate_config = {file!r} is no configuration of accelerate:"
            f" {' '.join(str(error).split())}; `accelerate config --config_file FILE` writes one"
        ) from None


def command(hardware: Hardware, folder: Path) -> list[str]:
    """What starts the processes, on this machine."""
    python, program = sys.executable, ["-m", "loop.train_process", str(folder)]
    number = str(hardware.processes)
    if hardware.accelerate_config is None:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", number]
    else:
        launcher = ["-m", "accelerate.commands.launch", "--config_file", hardware.accelerate_config]
        launcher += ["--num_processes", number]
    return [python, *launcher, *program]


@contextmanager
def started(words: list[str], folder: Path, threads: int) -> Iterator[subprocess.Popen[bytes]]:
    """The launcher, running; when this is left, neither it nor anything that it started runs."""
    paths = [str(Path(loop.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    with (folder / OUTPUT).open("wb") as output:
        processes = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the controller, which ends them
        )
    assert processes.stdin is not None
    try:
        yield processes
    finally:
        processes.stdin.close()
        try:
            processes.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(processes.pid, signal.SIGKILL)
            processes.wait()


def _follow(processes: subprocess.Popen[bytes], steps: Path, advance: Advance) -> None:
    """Tell the steps as they come, until the processes have ended; whoever watches the progress may end it before."""
    told, running = 0, True
    while running:
        try:
            processes.wait(LOOK_S)
            running = False
        except subprocess.TimeoutExpired:
            pass
        text = steps.read_text(encoding="utf-8") if steps.exists() else ""
        lines = text[: text.rfind("\n") + 1].split()
        advance(sum(int(line) for line in lines[told:]))
        told = len(lines)


def _outcome(folder: Path, code: int) -> TrainingRun:
    """What came out, or the error that a process met; what else they said goes into the log."""
    said = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace")
    for line in said.splitlines():
        log.info("%s", line)
    if (folder / ERROR).exists():
        failure = TypeAdapter(Failure).validate_json((folder / ERROR).read_bytes())
        raise getattr(store.errors, failure.kind)(failure.message)
    if not (folder / RUN).exists():
        raise DeltaloopError(
            f"the training's processes ended with {code} and no student; the log has all they said, of which:"
            f" {_telling(said)}"
        )
    return TypeAdapter(TrainingRun).validate_json((folder / RUN).read_bytes())


def _telling(said: str) -> str:
    for pattern in TELLING:
        found = re.search(pattern, said, re.MULTILINE)
        if found:
            return found[0][:SHOWN]
    return " ".join(said[-SHOWN:].split())
