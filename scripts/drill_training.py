"""Drill of a training's kills: `python -m scripts.drill_training [--kills 20] [--steps 24] [--processes 1] [--seed 0]`.

    undisturbed   one stage of training of the embedded pair, without a kill: its weights, and how long its steps take
    disturbed     the same stage, killed (SIGKILL) at a random moment and started again, until all kills are spent
    compared      weights and log of the two, bit for bit

Responses are drawn three steps ahead and checkpoints come every second step, so that kills hit drawing, learning and
writing alike. An attempt that ends before its kill is compared, and the next starts the stage anew. Trainings are
forked off a process that has loaded the libraries, which saves ten seconds a start. With several processes, started by
torchrun or by `--accelerate-config FILE`, every second kill on average hits one of them, the others the controller; the
next attempt begins at once. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil

from loop.ports import Advance, Trainer, TrainingJob
from loop.training_settings import Hardware, Training
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.records import Prompt, Role

PROMPTS = 24
POLL_S = 0.01
BATCH = 8
LAUNCHER_WORDS = 6
"""torchrun and accelerate end their commands as their processes do, and are longer."""


class Quiet:
    """Shows no progress."""

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """Nothing to show."""
        yield lambda _: None


def train(place: Path, steps: int, hardware: Hardware) -> None:
    """Train in a place, or go on there; `result` then holds the digest of the student and the log."""
    from loop.adapters.launching import LaunchedTrainer
    from loop.adapters.models import Models, resolve_version
    from loop.adapters.sources import read_source
    from loop.adapters.trainer import DistillingTrainer
    from loop.config import CampaignSettings, Pool

    checkpoints, blobs = FileCheckpoints(place / "checkpoints"), FileBlobs(place / "blobs")
    settings = Training(
        steps=steps, batch=BATCH, warmup_steps=2, sync_steps=3, checkpoint_steps=2, max_tokens=24, hardware=hardware
    )
    student, teacher = (resolve_version(f"embedded:{role}", role, checkpoints) for role in (Role.STUDENT, Role.TEACHER))
    pool = Pool(size=PROMPTS, easy_share=0.0, easy_vqa_share=0.0)
    prompts = [one for one in read_source(pool, blobs) if isinstance(one, Prompt)]
    job = TrainingJob(student, teacher, prompts, [1.0] * PROMPTS, settings, seed=7)
    models = Models(blobs, checkpoints, device="cpu", threads=1)
    trainer: Trainer = DistillingTrainer(models)
    if hardware.is_launched:
        campaign = CampaignSettings.model_validate({"name": "drill", "models": {"device": "cpu", "threads": 1}})
        trainer = LaunchedTrainer(campaign, models, blobs=place / "blobs", checkpoints=place / "checkpoints")
    run = trainer.train(job, work_dir=place / "work", progress=Quiet())
    if run.folder is None:
        raise RuntimeError(f"the training gave no student: {run.alarm}")
    found = {"weights": folder_digest(run.folder), "history": [asdict(step) for step in run.history]}
    (place / "result").write_text(json.dumps(found, sort_keys=True), encoding="utf-8")


def start(place: Path, steps: int, hardware: Hardware) -> int:
    """The process id of a training in a child."""
    pid = os.fork()
    if pid:
        return pid
    try:
        train(place, steps, hardware)
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def code_of(pid: int, until: float | None = None) -> int | None:
    """The exit code of a child, or nothing if it still runs at `until` (of the monotonic clock)."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if until is not None and time.monotonic() >= until:
            return None
        time.sleep(POLL_S)


def kill(pid: int, rng: random.Random) -> str:
    """Kill a training, or one of the processes that it started, upon which it ends; says which."""
    workers = [one for one in psutil.Process(pid).children(recursive=True) if _trains(one)]
    if workers and rng.random() < 0.5:
        rng.choice(workers).kill()
        code_of(pid)
        return "a process of it"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "the training"


def _trains(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-2:-1] == ["loop.train_process"] and len(process.cmdline()) < LAUNCHER_WORDS
    except psutil.Error:  # it has just ended
        return False


def checked(code: int | None) -> None:
    """RuntimeError if a training failed."""
    if code:
        raise RuntimeError(f"the training ended with {code}; its message is above")


def drill(home: Path, kills: int, steps: int, seed: int, hardware: Hardware) -> dict[str, object]:
    """Kill and resume; what was seen."""
    rng = random.Random(seed)
    began = time.monotonic()
    checked(code_of(start(home / "undisturbed", steps, hardware)))
    took = time.monotonic() - began
    expected = (home / "undisturbed" / "result").read_bytes()
    print(f"undisturbed: {took:.1f} s", flush=True)
    done, resumed_at, endings, different = 0, [], 0, 0
    place = home / "disturbed"
    while True:
        pid = start(place, steps, hardware)
        moment = rng.uniform(0.0, took) if done < kills else None
        code = code_of(pid, None if moment is None else time.monotonic() + moment)
        if code is None:
            victim = kill(pid, rng)
            done += 1
            kept = sorted(int(path.name.rpartition("-")[2]) for path in (place / "work").glob("checkpoint-*"))
            resumed_at.append(kept[-1] if kept else 0)
            print(f"kill {done}, of {victim}, after {moment:.1f} s: newest checkpoint {resumed_at[-1]}", flush=True)
            continue
        checked(code)
        endings += 1
        different += (place / "result").read_bytes() != expected
        print(f"end {endings}: {'as undisturbed' if not different else 'DIFFERENT'}", flush=True)
        if done >= kills:
            break
        shutil.rmtree(place)
    return {
        "kills": done,
        "checkpoints_hit": len(set(resumed_at)),
        "endings": endings,
        "different": different,
        "identical": different == 0,
        "steps": steps,
        "undisturbed_s": round(took, 1),
    }


def main() -> int:
    """Run the drill; 1 if any weights differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--accelerate-config")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import loop.adapters.trainer  # noqa: F401  loaded once, before the forks

    with tempfile.TemporaryDirectory(prefix="drill-training-") as home:
        hardware = Hardware(processes=arguments.processes, accelerate_config=arguments.accelerate_config)
        told = drill(Path(home), arguments.kills, arguments.steps, arguments.seed, hardware)
    print(json.dumps(told))
    return 0 if told["identical"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
