"""A short training of tiny random models, that may be interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loop.adapters.models import Models
from loop.adapters.trainer import DistillingTrainer
from loop.ports import Advance, Trainer, TrainingJob, TrainingRun
from loop.training_settings import Training
from store.records import Prompt, Version

SHORT = Training(steps=6, batch=4, learning_rate=1e-3, warmup_steps=1, max_tokens=6, checkpoint_steps=2)


class Interrupted(BaseException):
    """What Ctrl-C is."""


class Steps:
    """A progress bar that remembers, and may interrupt after a number of steps."""

    def __init__(self, until: int | None = None) -> None:
        self.done = 0
        self.calls: list[int] = []
        self.until = until

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Advance]:
        yield self._advance

    def _advance(self, done: int, /) -> None:
        self.done += done
        self.calls.append(done)
        if self.until is not None and self.done >= self.until:
            raise Interrupted


def train(
    models: Models,
    pair: tuple[Version, Version],
    prompts: list[Prompt],
    work_dir: Path,
    settings: Training = SHORT,
    steps: Steps | None = None,
    trainer: Trainer | None = None,
) -> TrainingRun:
    job = TrainingJob(*pair, prompts, [1.0] * len(prompts), settings, seed=11)
    return (trainer or DistillingTrainer(models)).train(job, work_dir=work_dir, progress=steps or Steps())
