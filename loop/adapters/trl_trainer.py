"""TRL's trainers behind the same port: `[training] backend = "trl"`.

    on-policy    job -> `DistillationTrainer`, the teacher's weights in this process
    off-policy   job -> `SFTTrainer`, on the teacher's traces

    pair and task -> a data set in the task's order -> TRL, from the last whole checkpoint -> the student's folder

Prompts, their order, optimizer, schedule, clipping, adapter and checkpoints are those of `loop.adapters.trainer`; the
draws and the loss are TRL's. It samples by the global generator of torch, and draws anew in each step.
"""

from __future__ import annotations

import copy
import importlib.util
import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from loop.adapters.adapting import make_trainable
from loop.adapters.distillation_loop import argument_values, share_batch
from loop.adapters.distilling import Responses, with_responses
from loop.adapters.encoding import open_image
from loop.adapters.models import Loaded, Models
from loop.adapters.reading import quietly
from loop.adapters.teaching import LocalTeacher, Teacher, TraceTeacher
from loop.adapters.trainer import fitting_task, write_model
from loop.adapters.training_checkpoints import last_checkpoint, newest_whole, seal, step_of
from loop.adapters.training_task import Pair, Task
from loop.ports import Advance, Blobs, Progress, TrainingJob, TrainingRun
from policies.health import find_alarm
from store.errors import EmptyTrainingSet, ModelUnusable, TrainingDiverged, UsageError
from store.records import TrainedStep, digest_of

log = logging.getLogger(__name__)

IGNORED = -100
"""Label of a token that has no loss, by convention of torch."""
NOT_NUMBERS = "probability tensor contains"
"""How torch begins to say that it cannot draw from logits that are not numbers."""


class TrlTrainer:
    """Distils a teacher into a student by what TRL offers."""

    def __init__(self, models: Models) -> None:
        """UsageError if TRL is not installed."""
        if importlib.util.find_spec("trl") is None:
            raise UsageError(
                "training.backend = 'trl': TRL is not installed; pip install 'deltaloop[trl]', or set backend to"
                ' "deltaloop"'
            )
        self._models = models

    def train(self, job: TrainingJob, *, work_dir: Path, progress: Progress) -> TrainingRun:
        """Train, or continue what `work_dir` holds; a training that diverges ends with its last good checkpoint.

        Raises:
            EmptyTrainingSet: If there is no prompt, or none that fits into the student's context.
            ModelUnusable: If the two do not share a vocabulary, or the student's logits are not numbers to begin with.
            UsageError: If the prompts differ in weight, or only some have images: TRL knows neither.
        """
        if not job.prompts:
            raise EmptyTrainingSet("no prompt to train on; widen the selection or add prompts to the pool")
        if set(job.weights) != {1.0}:
            raise UsageError(
                f"training.backend = 'trl': TRL weighs all prompts alike, and these weigh {min(job.weights):g} to"
                f' {max(job.weights):g}; set backend to "deltaloop"'
            )
        if not job.traces and len({bool(one.images) for one in job.prompts}) > 1:
            raise UsageError(
                "training.backend = 'trl': TRL cannot draw on prompts with and without images together; set backend to"
                ' "deltaloop", or keep the two in pools of their own'
            )
        models, settings = self._models, job.settings
        student = models.fresh(job.student)
        loaded = None if job.traces else models.get(job.teacher)
        teacher: Teacher = TraceTeacher() if loaded is None else LocalTeacher(models, loaded)
        teacher.check(student, settings)
        pair = Pair(student, teacher, models)
        make_trainable(student.model, settings.lora, job.seed)
        task = fitting_task(job, pair)
        inputs = digest_of(["trl", job.student.id, job.teacher.id, task.facts()])
        config, generation = copy.deepcopy(student.model.config), copy.deepcopy(student.model.generation_config)
        with quietly(), progress.bar("training steps", settings.steps) as advance:
            last = last_checkpoint(work_dir, inputs)
            values = argument_values(settings, job.seed, work_dir, models.device)
            watch = Watch(pair, task, advance)
            trainer = (
                off_policy_trainer(pair, task, values, [watch])
                if loaded is None
                else on_policy_trainer(student, loaded, task, models.blobs, values, [watch])
            )
            try:
                _train(trainer, last)
                alarm, steps = "", trainer.state.global_step
            except TrainingDiverged as error:
                alarm, steps = str(error), _go_back(trainer, work_dir)
                log.warning("%s; the training ends with what it was after step %d", alarm, steps)
            student.model.config, student.model.generation_config = config, generation  # TRL writes into both
            folder = work_dir / "model" if steps else None
            if folder is not None:
                write_model(student, folder, job, models)
        history = watch.history(trainer.state)
        return TrainingRun(folder, steps, watch.train_tokens(trainer.state), history, alarm)


def on_policy_trainer(
    student: Loaded, teacher: Loaded, task: Task, blobs: Blobs, values: dict[str, Any], callbacks: list[TrainerCallback]
) -> Any:
    """TRL's `DistillationTrainer` for a task; `values` are those of `argument_values`."""
    from datasets import Dataset, Features, Image, List, Value
    from trl import DistillationConfig, DistillationTrainer

    features: dict[str, Any] = {"prompt": List({"role": Value("string"), "content": Value("string")})}
    rows: dict[str, list[Any]] = {"prompt": [[{"role": "user", "content": one.question}] for one in task.prompts]}
    if student.sees_images:
        features["images"] = List(Image())
        rows["images"] = [[open_image(blobs, image) for image in one.images] for one in task.prompts]
    settings = task.settings
    arguments = DistillationConfig(
        **values,
        max_completion_length=settings.max_tokens,
        temperature=settings.temperature,
        beta=settings.beta,
        shuffle_dataset=False,
    )
    return _made(
        DistillationTrainer,
        student,
        task,
        arguments,
        callbacks,
        teacher_model=teacher.model,
        train_dataset=Dataset.from_dict(rows, Features(features)).select(task.order),
    )


def off_policy_trainer(pair: Pair, task: Task, values: dict[str, Any], callbacks: list[TrainerCallback]) -> Any:
    """TRL's `SFTTrainer` on the traces of a task, in the very batches of `loop.adapters.distillation_loop`."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    student = pair.student

    def collate(rows: Sequence[Mapping[str, int]]) -> dict[str, Tensor]:
        at = [row["position"] for row in rows]
        batch = pair.models.encode(student, [task.prompt(position) for position in at])
        said = Responses.of(pair.responses(task, at), student.device)
        unseen = torch.full_like(batch["input_ids"], IGNORED)
        labels = torch.cat([unseen, said.ids.masked_fill(said.mask == 0, IGNORED)], dim=1)
        return with_responses(student.model, batch, said.ids, said.mask) | {"labels": labels}

    return _made(
        SFTTrainer,
        student,
        task,
        SFTConfig(**values, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
        callbacks,
        data_collator=collate,
        train_dataset=Dataset.from_dict({"position": list(range(len(task.order)))}),
    )


def _made(kind: Any, student: Loaded, task: Task, arguments: Any, callbacks: list[TrainerCallback], **own: Any) -> Any:
    share_batch(arguments, task.settings)
    trainer = kind(model=student.model, args=arguments, processing_class=student.processor, callbacks=callbacks, **own)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _train(trainer: Any, last: Path | None) -> None:
    """TrainingDiverged, or ModelUnusable before the first step, if the student's logits are not numbers."""
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    except RuntimeError as error:
        if not str(error).startswith(NOT_NUMBERS):
            raise
        step = trainer.state.global_step
        if not step:
            raise ModelUnusable("the student's logits are not numbers; its checkpoint is damaged") from None
        raise TrainingDiverged(
            f"step {step}: the student's logits are not numbers; lower training.learning_rate"
        ) from None


def _go_back(trainer: Any, work_dir: Path) -> int:
    """Take up the weights of the last good checkpoint; returns its step, 0 if there is none."""
    checkpoint = newest_whole(work_dir, before=trainer.state.global_step)
    if checkpoint is None:
        return 0
    trainer._load_from_checkpoint(str(checkpoint))
    return step_of(checkpoint)


class Watch(TrainerCallback):
    """Shows progress, seals checkpoints, reads TRL's log, and ends a training that goes wrong by it."""

    def __init__(self, pair: Pair, task: Task, advance: Advance) -> None:
        self._pair = pair
        self._task = task
        self._advance = advance

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Go on from where an earlier attempt was."""
        self._advance(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """One step further; the last one is logged too."""
        self._advance(1)
        control.should_log = control.should_log or state.global_step >= state.max_steps

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The library's checkpoint is complete."""
        seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """TrainingDiverged if what was just logged crosses a bound, of those that TRL measures."""
        if "loss" not in state.log_history[-1]:
            return
        alarm = find_alarm(self._logged(state), self._task.settings.health.bounds())
        if alarm is not None:
            raise TrainingDiverged(alarm)

    def history(self, state: TrainerState) -> tuple[TrainedStep, ...]:
        """What was logged; what is not a number cannot be recorded."""
        return tuple(one for one in self._logged(state) if math.isfinite(one.grad_norm) and math.isfinite(one.loss))

    def train_tokens(self, state: TrainerState) -> int:
        """Response tokens up to the last log."""
        logged = self._logged(state)
        steps = [0, *(one.step for one in logged)]
        parts = zip(logged, itertools.pairwise(steps), strict=True)
        return round(
            sum(one.response_tokens * (end - start) for one, (start, end) in parts) * self._task.settings.batch
        )

    def _logged(self, state: TrainerState) -> list[TrainedStep]:
        """Entries of the log, those included that were written before a resume."""
        entries = [entry for entry in state.log_history if "loss" in entry]
        starts = [0, *(entry["step"] for entry in entries)]
        return [self._step(entry, start) for entry, start in zip(entries, starts, strict=False)]

    def _step(self, entry: dict[str, Any], start: int) -> TrainedStep:
        """An entry of the log, and the step before its first one."""
        if self._task.traces:  # TRL does not tell the lengths of what it is given
            batch = self._task.settings.batch
            drawn = self._pair.responses(self._task, range(start * batch, entry["step"] * batch))
            tokens = sum(len(one.tokens) for one in drawn) / len(drawn)
            truncated = sum(not one.ended for one in drawn) / len(drawn)
        else:
            tokens, truncated = entry["completions/mean_length"], entry["completions/clipped_ratio"]
        names = ("step", "loss", "grad_norm", "learning_rate", "entropy")
        return TrainedStep(**{name: entry[name] for name in names}, response_tokens=tokens, truncated_share=truncated)
