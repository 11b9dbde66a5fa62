"""On-policy distillation on `transformers.Trainer`.

    each step: prompts -> the student answers (one rollout per prompt) -> divergence of the student from the teacher on
    each token of that answer, a chunk of tokens at a time (`chunked`, `teaching`) -> update

    <work_dir>/inputs             digest of what this training is: another one in the same folder starts afresh
    <work_dir>/checkpoint-<step>  what a resume continues from
    <work_dir>/model              the trained student, once done

The library does optimizer, schedule, clipping, checkpoints and resume. A resumed training ends with the same weights as
an undisturbed one: the order of the prompts follows from the seed, and each rollout's seed from (seed, step, prompt).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from loop.adapters.chunked import chunked_loss
from loop.adapters.decoding import Drawn, Wanted, draw
from loop.adapters.distilling import Responses, response_states
from loop.adapters.models import Loaded, Models
from loop.adapters.reading import forget_padding, quietly
from loop.adapters.teaching import LocalTeacher, ScoringTeacher, Teacher
from loop.config import Training
from loop.ports import Advance, Progress, Scorer, TrainingJob, TrainingRun
from store.errors import EmptyTrainingSet, TrainingDiverged
from store.records import Prompt, TrainedStep, Version, derive_seed, digest_of

LOG_STEPS = 10


class OnPolicyTrainer:
    """Distils a teacher into a student on the student's own responses."""

    def __init__(self, models: Models, open_scorer: Callable[[Version], Scorer] | None = None) -> None:
        """A teacher is loaded into this process, or scores through what `open_scorer` returns."""
        self._models = models
        self._open_scorer = open_scorer

    def train(self, job: TrainingJob, *, work_dir: Path, progress: Progress) -> TrainingRun:
        """Train, or continue what `work_dir` holds.

        The new model is written in float32: a round moves many weights by less than half a step of bfloat16, and would
        lose that if it rounded at its end.

        Raises:
            EmptyTrainingSet: If there is no prompt.
            ModelUnusable: If the two do not share a vocabulary, or logits are not numbers.
            UsageError: If the teacher's engine cannot tell what the settings ask for.
            TrainingDiverged: If the loss is not a number.
        """
        if not job.prompts:
            raise EmptyTrainingSet("no prompt to train on; widen the selection or add prompts to the pool")
        pair = _Pair(self._models.fresh(job.student), self._teacher(job.teacher), self._models)
        pair.teacher.check(pair.student, job.settings)
        task = _Task(job.prompts, job.weights, job.settings, job.seed)
        last = _last_checkpoint(work_dir, digest_of([job.student.id, job.teacher.id, task.facts()]))
        with quietly(), progress.bar("training steps", job.settings.steps) as advance:
            arguments = _arguments(job.settings, job.seed, work_dir, self._models.device)
            trainer = _Distillation(pair, task, arguments, advance)
            trainer.train(resume_from_checkpoint=last)
            folder = work_dir / "model"
            _write_model(pair.student, folder)
        return TrainingRun(folder, trainer.state.global_step, trainer.train_tokens, trainer.steps_logged())

    def _teacher(self, version: Version) -> Teacher:
        if self._open_scorer is not None:
            return ScoringTeacher(self._open_scorer(version))
        return LocalTeacher(self._models, self._models.get(version))


@dataclass(frozen=True)
class _Pair:
    """The two models; the student's weights are the ones that move."""

    student: Loaded
    teacher: Teacher
    models: Models

    def rollouts(self, wanted: Sequence[Wanted], batch: dict[str, Tensor], settings: Training) -> list[Drawn]:
        """One response of the student as it is now per prompt."""
        self.student.model.eval()
        drawn = draw(self.student, batch, wanted, temperature=settings.temperature, max_tokens=settings.max_tokens)
        self.student.model.train()
        return [own[0] for own in drawn]


@dataclass(frozen=True)
class _Task:
    """What is trained on, and how."""

    prompts: Sequence[Prompt]
    weights: Sequence[float]
    settings: Training
    seed: int

    def facts(self) -> list[Any]:
        """Everything that the result depends on."""
        ids = [prompt.id for prompt in self.prompts]
        return [ids, list(self.weights), self.settings.model_dump(), self.seed]

    def order(self) -> list[int]:
        """Which prompt comes when: shuffled passes over the set, cut at the last step."""
        rng = np.random.default_rng(self.seed)
        total = self.settings.steps * self.settings.batch
        passes = math.ceil(total / len(self.prompts))
        return np.concatenate([rng.permutation(len(self.prompts)) for _ in range(passes)])[:total].tolist()


class _Order(Dataset[int]):
    """The order of the prompts as a data set."""

    def __init__(self, order: list[int]) -> None:
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> int:
        return self._order[index]


def _collate(rows: list[int]) -> dict[str, Tensor]:
    return {"rows": torch.tensor(rows)}


@dataclass
class _Since:
    """What was seen since the last log."""

    tokens: list[int] = field(default_factory=list)
    truncated: list[bool] = field(default_factory=list)


class _Distillation(Trainer):
    """`transformers.Trainer` whose loss draws its own responses."""

    def __init__(self, pair: _Pair, task: _Task, args: TrainingArguments, advance: Advance) -> None:
        config = pair.student.model.config
        said = vars(config).get("use_cache")
        super().__init__(
            model=pair.student.model.requires_grad_(True),
            args=args,
            data_collator=_collate,
            train_dataset=_Order(task.order()),
            callbacks=[_Steps(self, task.settings.token_budget, advance)],
        )
        if said is None:  # the Trainer turns the cache off, and that would be saved
            del config.use_cache
        else:
            config.use_cache = said
        self.remove_callback(PrinterCallback)
        self._pair = pair
        self._task = task
        self._since = _Since()
        self.train_tokens = 0

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *_: Any, **__: Any) -> Tensor:
        """The divergence on fresh rollouts of this batch. TrainingDiverged if it is not a number."""
        task, pair, step = self._task, self._pair, self.state.global_step
        rows = inputs["rows"].tolist()
        prompts = [task.prompts[row] for row in rows]
        wanted = [
            Wanted(prompt.id, [derive_seed(task.seed, step, place, prompt.id)]) for place, prompt in enumerate(prompts)
        ]
        batch = pair.models.encode(pair.student, prompts)
        drawn = pair.rollouts(wanted, batch, task.settings)
        responses = Responses.of(drawn, pair.student.device)
        weights = responses.spread(torch.tensor([task.weights[row] for row in rows], device=pair.student.device))
        states, head = response_states(model, batch, responses)
        divergence = pair.teacher.loss(prompts, responses, task.settings)
        loss = chunked_loss(states, head, divergence, weights / len(weights))[0]
        if not bool(torch.isfinite(loss)):
            raise TrainingDiverged(f"step {step}: the loss is {loss.item()}; lower training.learning_rate")
        self._since.tokens += [len(one.tokens) for one in drawn]
        self._since.truncated += [not one.ended for one in drawn]
        self.train_tokens += sum(len(one.tokens) for one in drawn)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what the responses looked like; it is saved with each checkpoint, as the log is."""
        if "loss" in logs:
            seen, self._since = self._since, _Since()
            logs["response_tokens"] = float(np.mean(seen.tokens))
            logs["truncated_share"] = float(np.mean(seen.truncated))
            logs["train_tokens"] = self.train_tokens
        super().log(logs, start_time)

    def steps_logged(self) -> tuple[TrainedStep, ...]:
        """The log, those of its steps included that ran before a resume."""
        keys = ("step", "loss", "grad_norm", "learning_rate", "response_tokens", "truncated_share")
        return tuple(TrainedStep(*(entry[key] for key in keys)) for entry in self.state.log_history if "loss" in entry)


class _Steps(TrainerCallback):
    """Shows progress, restores the count of tokens on a resume, and stops at the token budget."""

    def __init__(self, trainer: _Distillation, budget: int | None, advance: Advance) -> None:
        self._trainer = trainer
        self._budget = budget
        self._advance = advance

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count what an earlier attempt did; each checkpoint's step was logged before it was written."""
        if state.log_history:
            self._trainer.train_tokens = int(state.log_history[-1]["train_tokens"])
        self._advance(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """One step further."""
        self._advance(1)
        if self._budget is not None and self._trainer.train_tokens >= self._budget:
            control.should_training_stop = True
        if control.should_training_stop:
            control.should_log = True


def _arguments(settings: Training, seed: int, work_dir: Path, device: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(work_dir),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch,
        train_sampling_strategy="sequential",
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        save_steps=settings.checkpoint_steps,
        save_total_limit=1,
        # A checkpoint's log then always ends at its own step, so that a resume logs what an undisturbed run logs.
        logging_steps=math.gcd(LOG_STEPS, settings.checkpoint_steps),
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=device == "cpu",
        dataloader_pin_memory=False,
        seed=derive_seed(seed, "trainer") % 2**31,
    )


def _last_checkpoint(work_dir: Path, inputs: str) -> str | None:
    """The newest complete checkpoint of this very training; whatever else the folder holds is removed."""
    marker = work_dir / "inputs"
    if not marker.is_file() or marker.read_text(encoding="utf-8") != inputs:
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        marker.write_text(inputs, encoding="utf-8")
        return None
    # The Trainer writes trainer_state.json last: without it, the writing was cut off.
    found = {int(path.name.rpartition("-")[2]): path for path in work_dir.glob("checkpoint-*")}
    for path in [path for path in found.values() if not (path / "trainer_state.json").is_file()]:
        shutil.rmtree(path)
    whole = [step for step, path in found.items() if path.is_dir()]
    return str(found[max(whole)]) if whole else None


def _write_model(student: Loaded, folder: Path) -> None:
    """The same weights give the same bytes: no path, no time, whatever folder the student came from."""
    shutil.rmtree(folder, ignore_errors=True)
    forget_padding(student.tokenizer)
    student.model.eval().save_pretrained(folder)
    student.processor.save_pretrained(folder)
