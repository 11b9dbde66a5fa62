"""Distillation: a training as a whole.

    job -> pair and task -> `distillation_loop`, from the last whole checkpoint -> the student's folder

    <work_dir>/inputs, checkpoint-<step>  see `training_checkpoints`
    <work_dir>/model                      the trained student, once done

A resumed training ends with the same weights as an undisturbed one: the order of the prompts follows from the seed, and
each response's seed from (seed, step, place, prompt). One that goes wrong ends with its last good checkpoint.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from loop.adapters.adapting import ADAPTER, make_trainable, merge_adapter, save_adapter
from loop.adapters.distillation_loop import Distillation, training_arguments
from loop.adapters.lora import with_adapter
from loop.adapters.models import Loaded, Models
from loop.adapters.reading import forget_padding, quietly
from loop.adapters.teaching import LocalTeacher, ScoringTeacher, Teacher, TraceTeacher
from loop.adapters.training_checkpoints import last_checkpoint
from loop.adapters.training_task import Pair, Task
from loop.ports import Progress, Scorer, TrainingJob, TrainingRun
from store.errors import EmptyTrainingSet, TrainingDiverged
from store.records import Version, digest_of

log = logging.getLogger(__name__)


class DistillingTrainer:
    """Distils a teacher into a student: on the student's own responses, or on traces of the teacher's."""

    def __init__(self, models: Models, open_scorer: Callable[[Version], Scorer] | None = None) -> None:
        """A teacher is loaded into this process, or scores through what `open_scorer` returns."""
        self._models = models
        self._open_scorer = open_scorer

    def train(self, job: TrainingJob, *, work_dir: Path, progress: Progress) -> TrainingRun:
        """Train, or continue what `work_dir` holds.

        The new model is written in float32: a round moves many weights by less than half a step of bfloat16, and would
        lose that if it rounded at its end. A training that diverges ends with its last good checkpoint and an alarm.

        Raises:
            EmptyTrainingSet: If there is no prompt, or none that fits into the models' context.
            ModelUnusable: If the two do not share a vocabulary, or the student's logits are not numbers to begin with.
            UsageError: If the teacher's engine cannot tell what the settings ask for.
        """
        if not job.prompts:
            raise EmptyTrainingSet("no prompt to train on; widen the selection or add prompts to the pool")
        pair = Pair(self._models.fresh(job.student, bits=job.settings.lora.bits), self._teacher(job), self._models)
        pair.teacher.check(pair.student, job.settings)
        make_trainable(pair.student.model, job.settings.lora, job.seed)
        task = fitting_task(job, pair)
        inputs = digest_of([job.student.id, job.teacher.id, task.facts()])
        with quietly(), progress.bar("training steps", job.settings.steps) as advance:
            arguments = training_arguments(job.settings, job.seed, work_dir, self._models.device)
            with arguments.main_process_first(local=False):
                last = last_checkpoint(work_dir, inputs)
            trainer = Distillation(pair, task, arguments, advance)
            try:
                trainer.train(resume_from_checkpoint=str(last) if last else None)
                alarm, steps = "", trainer.state.global_step
            except TrainingDiverged as error:
                alarm, steps = str(error), trainer.go_back()
                log.warning("%s; the training ends with what it was after step %d", alarm, steps)
            folder = work_dir / "model" if steps else None
            with trainer.whole_student() as student:
                if folder is not None and trainer.is_world_process_zero():
                    write_model(student, folder, job, self._models)
        return TrainingRun(folder, steps, trainer.train_tokens, trainer.history(), alarm)

    def _teacher(self, job: TrainingJob) -> Teacher:
        if job.traces:
            return TraceTeacher()
        if self._open_scorer is not None:
            return ScoringTeacher(self._open_scorer(job.teacher))
        return LocalTeacher(self._models, self._models.get(job.teacher))


def fitting_task(job: TrainingJob, pair: Pair) -> Task:
    """The task without prompts that leave no room for a response in the student's context.

    EmptyTrainingSet if none is left.
    """
    limit = getattr(pair.student.model.config.get_text_config(), "max_position_embeddings", None)
    if limit is None:
        return Task(job.prompts, job.weights, job.settings, job.seed, job.traces)
    lengths = [pair.models.encode(pair.student, [prompt])["input_ids"].shape[1] for prompt in job.prompts]
    fitting = [index for index, length in enumerate(lengths) if length + job.settings.max_tokens <= limit]
    if not fitting:
        raise EmptyTrainingSet(
            f"no prompt to train on: the shortest has {min(lengths)} tokens, and with training.max_tokens ="
            f" {job.settings.max_tokens} is longer than the student's context of {limit}; lower it"
        )
    if len(fitting) < len(lengths):
        log.warning(
            "%d of %d prompts are not trained on: with training.max_tokens = %d they are longer than the student's"
            " context of %d; the longest has %d tokens",
            len(lengths) - len(fitting),
            len(lengths),
            job.settings.max_tokens,
            limit,
            max(lengths),
        )
    prompts, weights = [job.prompts[index] for index in fitting], [job.weights[index] for index in fitting]
    return Task(prompts, weights, job.settings, job.seed, job.traces)


def write_model(student: Loaded, folder: Path, job: TrainingJob, models: Models) -> None:
    """The same weights give the same bytes: no path, no time, whatever folder the student came from.

    An adapter is merged into the student, in float32, and written beside it for the version that it was trained on.
    """
    shutil.rmtree(folder, ignore_errors=True)
    adapter = folder / ADAPTER
    save_adapter(student.model, job.student.id, adapter)
    if job.settings.lora.bits:
        student = models.fresh(job.student)
        with_adapter(student.model, str(adapter))
    merge_adapter(student.model)
    forget_padding(student.tokenizer)
    student.model.eval().save_pretrained(folder)
    student.processor.save_pretrained(folder)
