"""Benchmark of training: `python -m scripts.bench_distill [--pairs 5] [--case embedded|qwen_head|accuracy|all]`.

    baseline   TRL's `DistillationTrainer` (trl), which also draws from the student and projects to logits in chunks
    ours       `loop.adapters.trainer`
    embedded   the embedded pair on its own pictures, up to 24 tokens of response
    qwen_head  a random two-layer text pair whose head has 151,936 entries (Qwen's), 512 tokens of response
    accuracy   the embedded pair as a round trains it: held-out accuracy after equal steps (`distill_accuracy`)

Both train the same student on the same prompts in the same order, on one thread, with the same steps, batch, beta,
temperature, schedule and clipping, drawing included; no checkpoint is written while the clock runs. Every timed run is
a process of its own, and the two take turns, so that a busy machine slows both alike. Tokens are those of the
responses; memory is the peak of the process, weights and libraries included. Last line: one JSON object with the
medians of the pairwise ratios, and the difference in accuracy (ours less TRL's) with its 90 % interval.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loop.ports import Advance, TrainingJob
from loop.training_settings import Training
from scripts.distill_accuracy import compare_accuracy
from scripts.memory import peak_mb
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.records import Prompt, Role, Version

QWEN_VOCABULARY = 151_936
PROMPTS = 64
SEED = 7


@dataclass(frozen=True)
class Case:
    """What is trained."""

    prefix: str
    settings: Training


def _settings(**changes: Any) -> Training:
    never = 10_000
    return Training(**({"learning_rate": 1e-4, "warmup_steps": 1, "checkpoint_steps": never} | changes))


CASES = {
    "embedded": Case("", _settings(steps=12, batch=16, max_tokens=24)),
    "qwen_head": Case("qwen_head_", _settings(steps=2, batch=2, max_tokens=512)),
}


class Clock:
    """A progress that shows nothing, and tells when the first step began."""

    def __init__(self) -> None:
        self.began = 0.0

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """The trainer makes its optimizer ready within this: the clock starts when the training begins."""
        yield self._advance

    def _advance(self, _: int, /) -> None:
        self.began = self.began or time.perf_counter()


def write_text_model(folder: Path, seed: int) -> None:
    """A random causal language model with Qwen's number of logits."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from loop.embedded.architecture import build_processor

    words = ("what", "is", "this", "one", "two", "three", "red", "blue")
    tokenizer = build_processor(words, image_size=32, patch=4, scale=2).tokenizer
    tokenizer.chat_template = "{{ messages[0]['content'] }}<assistant>"
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=QWEN_VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def prepare(case: str, home: Path) -> None:
    """Write the models of a case that does not ship with this package."""
    if case == "qwen_head":
        for seed, role in enumerate(("student", "teacher")):
            write_text_model(home / role, seed)


def job_of(case: str, home: Path, blobs: FileBlobs, checkpoints: FileCheckpoints) -> TrainingJob:
    """The pair and the prompts of a case."""
    from loop.adapters.models import resolve_version
    from loop.adapters.sources import read_source
    from loop.config import Pool

    def version(role: Role) -> Version:
        source = f"embedded:{role}" if case == "embedded" else str(home / role)
        return resolve_version(source, role, checkpoints)

    if case == "embedded":
        pool = Pool(size=PROMPTS, easy_share=0.0, easy_vqa_share=0.0)
        prompts = [one for one in read_source(pool, blobs) if isinstance(one, Prompt)]
    else:
        numbers = ("one", "two", "three", "red", "blue")
        prompts = [Prompt.make(f"what is {first} {second}", []) for first in numbers for second in numbers]
    settings = CASES[case].settings
    return TrainingJob(version(Role.STUDENT), version(Role.TEACHER), prompts, [1.0] * len(prompts), settings, seed=SEED)


def run_ours(job: TrainingJob, models: Any, work_dir: Path) -> tuple[float, int]:
    """Seconds of the steps, and response tokens."""
    from loop.adapters.adapting import make_trainable
    from loop.adapters.distillation_loop import Distillation, training_arguments
    from loop.adapters.reading import quietly
    from loop.adapters.teaching import LocalTeacher
    from loop.adapters.training_task import Pair, Task

    pair = Pair(models.fresh(job.student), LocalTeacher(models, models.get(job.teacher)), models)
    make_trainable(pair.student.model, job.settings.lora, job.seed)
    task = Task(job.prompts, job.weights, job.settings, job.seed)
    clock = Clock()
    with quietly(), clock.bar("", None) as advance:
        arguments = training_arguments(job.settings, job.seed, work_dir, "cpu")
        arguments.save_strategy = "no"
        trainer = Distillation(pair, task, arguments, advance)
        trainer.train()
    return time.perf_counter() - clock.began, trainer.train_tokens


def run_trl(job: TrainingJob, models: Any, work_dir: Path) -> tuple[float, int]:
    """The same with TRL's trainer, in the loop of the `trl` backend."""
    from loop.adapters.distillation_loop import argument_values
    from loop.adapters.reading import quietly
    from loop.adapters.teaching import LocalTeacher
    from loop.adapters.training_task import Pair, Task
    from loop.adapters.trl_trainer import Watch, on_policy_trainer

    student, teacher = models.fresh(job.student), models.get(job.teacher)
    student.model.requires_grad_(True)
    task = Task(job.prompts, job.weights, job.settings, job.seed)
    values = argument_values(job.settings, job.seed, work_dir, "cpu") | {"save_strategy": "no"}
    clock = Clock()
    with quietly(), clock.bar("", None) as advance:
        watch = Watch(Pair(student, LocalTeacher(models, teacher), models), task, advance)
        trainer = on_policy_trainer(student, teacher, task, models.blobs, values, [watch])
        trainer.train()
    return time.perf_counter() - clock.began, watch.train_tokens(trainer.state)


def run_one(trainer: str, case: str, home: Path) -> None:
    """One run, in this process; prints one JSON object."""
    from loop.adapters.models import Models

    with tempfile.TemporaryDirectory() as scratch:
        blobs, checkpoints = FileBlobs(Path(scratch) / "blobs"), FileCheckpoints(Path(scratch) / "checkpoints")
        job = job_of(case, home, blobs, checkpoints)
        models = Models(blobs, checkpoints, device="cpu", threads=1)
        run = run_ours if trainer == "ours" else run_trl
        seconds, tokens = run(job, models, Path(scratch) / "work")
    print(json.dumps({"tokens_per_s": tokens / seconds, "tokens": tokens, "peak_mb": peak_mb()}))


def measure(trainer: str, case: str, home: Path) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "scripts.bench_distill", "--case", case, "--one", trainer, "--home", str(home)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{trainer}, {case}: ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{case} {trainer}: {found['tokens_per_s']:.1f} tokens/s, {found['peak_mb']:.0f} MB", flush=True)
    return found


def compare(case: str, pairs: int) -> dict[str, float]:
    """Medians of the ratios of pairs of runs that follow each other; the order turns from pair to pair."""
    speeds, memories = [], []
    with tempfile.TemporaryDirectory() as scratch:
        prepare(case, Path(scratch))
        for index in range(pairs):
            order = ("ours", "trl") if index % 2 == 0 else ("trl", "ours")
            found = {trainer: measure(trainer, case, Path(scratch)) for trainer in order}
            speeds.append(found["ours"]["tokens_per_s"] / found["trl"]["tokens_per_s"])
            memories.append(found["ours"]["peak_mb"] / found["trl"]["peak_mb"])
    prefix = CASES[case].prefix
    return {
        f"{prefix}speed_ratio": round(statistics.median(speeds), 3),
        f"{prefix}memory_ratio": round(statistics.median(memories), 3),
    }


def main() -> None:
    """Measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5, help="of the case `accuracy`")
    parser.add_argument("--case", choices=(*CASES, "accuracy", "all"), default="all")
    parser.add_argument("--one", choices=("ours", "trl"), help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one, arguments.case, arguments.home)
        return
    told: dict[str, float] = {"pairs": arguments.pairs, "seeds": arguments.seeds}
    for case in CASES:
        if arguments.case in (case, "all"):
            told |= compare(case, arguments.pairs)
    if arguments.case in ("accuracy", "all"):
        told |= compare_accuracy(arguments.seeds)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
