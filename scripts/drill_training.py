"""Drill of a training's kills: `python -m scripts.drill_training [--kills 20] [--steps 24] [--seed 0]`.

    undisturbed   one stage of training of the embedded pair, without a kill: its weights, and how long its steps take
    disturbed     the same stage, killed (SIGKILL) at a random moment and started again, until all kills are spent
    compared      weights and log of the two, bit for bit

Responses are drawn three steps ahead and checkpoints come every second step, so that kills hit drawing, learning and
writing alike. An attempt that ends before its kill is compared, and the next starts the stage anew. Trainings are
forked off a process that has loaded the libraries, which saves ten seconds a start. Last line: one JSON object.
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

from loop.ports import Advance, TrainingJob
from loop.training_settings import Training
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.records import Prompt, Role

PROMPTS = 24
POLL_S = 0.01
BATCH = 8


class Quiet:
    """Shows no progress."""

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """Nothing to show."""
        yield lambda _: None


def train(place: Path, steps: int) -> None:
    """Train in a place, or go on there; `result` then holds the digest of the student and the log."""
    from loop.adapters.models import Models, resolve_version
    from loop.adapters.sources import read_source
    from loop.adapters.trainer import DistillingTrainer
    from loop.config import Pool

    checkpoints, blobs = FileCheckpoints(place / "checkpoints"), FileBlobs(place / "blobs")
    settings = Training(steps=steps, batch=BATCH, warmup_steps=2, sync_steps=3, checkpoint_steps=2, max_tokens=24)
    student, teacher = (resolve_version(f"embedded:{role}", role, checkpoints) for role in (Role.STUDENT, Role.TEACHER))
    pool = Pool(size=PROMPTS, easy_share=0.0, easy_vqa_share=0.0)
    prompts = [one for one in read_source(pool, blobs) if isinstance(one, Prompt)]
    job = TrainingJob(student, teacher, prompts, [1.0] * PROMPTS, settings, seed=7)
    trainer = DistillingTrainer(Models(blobs, checkpoints, device="cpu", threads=1))
    run = trainer.train(job, work_dir=place / "work", progress=Quiet())
    if run.folder is None:
        raise RuntimeError(f"the training gave no student: {run.alarm}")
    found = {"weights": folder_digest(run.folder), "history": [asdict(step) for step in run.history]}
    (place / "result").write_text(json.dumps(found, sort_keys=True), encoding="utf-8")


def start(place: Path, steps: int) -> int:
    """The process id of a training in a child."""
    pid = os.fork()
    if pid:
        return pid
    try:
        train(place, steps)
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def wait(pid: int, until: float | None = None) -> bool:
    """Whether a child has ended; it is killed at `until` (of the monotonic clock). RuntimeError if it failed."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code:
                raise RuntimeError(f"the training ended with {code}; its message is above")
            return True
        if until is not None and time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(POLL_S)


def drill(home: Path, kills: int, steps: int, seed: int) -> dict[str, object]:
    """Kill and resume; what was seen."""
    rng = random.Random(seed)
    began = time.monotonic()
    wait(start(home / "undisturbed", steps))
    took = time.monotonic() - began
    expected = (home / "undisturbed" / "result").read_bytes()
    print(f"undisturbed: {took:.1f} s", flush=True)
    done, resumed_at, endings, different = 0, [], 0, 0
    place = home / "disturbed"
    while True:
        pid = start(place, steps)
        moment = rng.uniform(0.0, took) if done < kills else None
        if not wait(pid, None if moment is None else time.monotonic() + moment):
            done += 1
            kept = sorted(int(path.name.rpartition("-")[2]) for path in (place / "work").glob("checkpoint-*"))
            resumed_at.append(kept[-1] if kept else 0)
            print(f"kill {done} after {moment:.1f} s: the newest checkpoint is of step {resumed_at[-1]}", flush=True)
            continue
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
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import loop.adapters.trainer  # noqa: F401  loaded once, before the forks

    with tempfile.TemporaryDirectory(prefix="drill-training-") as home:
        told = drill(Path(home), arguments.kills, arguments.steps, arguments.seed)
    print(json.dumps(told))
    return 0 if told["identical"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
