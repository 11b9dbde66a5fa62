"""`transformers.Trainer` whose loss draws its own responses.

    each step: positions -> responses (`rollout_buffer`) -> divergence of the student from the teacher on each of their
    tokens, a chunk at a time (`chunked`, `teaching`) -> sum / response tokens of the whole step -> update

The library does optimizer, schedule, clipping, accumulation, processes, checkpoints and resume. The divisor counts the
tokens of all parts and processes, so that neither changes the gradient. Under several processes the loss runs inside
the wrapper's forward pass, which is where gradients are made ready to be averaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

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
from loop.adapters.decoding import Drawn
from loop.adapters.distilling import Responses, response_states
from loop.adapters.models import Loaded
from loop.adapters.pieces import WholeCopies, inside, settle_sharding
from loop.adapters.rollout_buffer import Rollout, RolloutBuffer
from loop.adapters.training_checkpoints import KEPT, newest_whole, seal, step_of
from loop.adapters.training_task import Pair, Task
from loop.adapters.vitals import QUARTERS, Vitals
from loop.ports import Advance
from loop.training_settings import Training
from policies.health import find_alarm
from store.errors import ModelUnusable, TrainingDiverged, UsageError
from store.records import TrainedStep, derive_seed

LOG_STEPS = 10


class _Positions(Dataset[int]):
    """The positions of a task as a data set."""

    def __init__(self, num: int) -> None:
        self._num = num

    def __len__(self) -> int:
        return self._num

    def __getitem__(self, index: int) -> int:
        return index


class Distillation(Trainer):
    """Trains the student of a pair on a task."""

    loss_is_scaled_for_ga = True

    def __init__(self, pair: Pair, task: Task, args: TrainingArguments, advance: Advance) -> None:
        config = pair.student.model.config
        said = vars(config).get("use_cache")
        # The Trainer takes a quantized model only with an adapter that transformers has put in; PEFT has put in ours.
        pair.student.model._hf_peft_config_loaded = True
        super().__init__(
            model=pair.student.model,
            args=args,
            data_collator=torch.tensor,
            train_dataset=_Positions(len(task.order)),
            callbacks=[_Steps(self, task.settings.token_budget, advance)],
        )
        pair.student.model._hf_peft_config_loaded = False  # checkpoints then hold all weights
        if said is None:  # the Trainer turns the cache off, and that would be saved
            del config.use_cache
        else:
            config.use_cache = said
        self.remove_callback(PrinterCallback)
        self._pair = pair
        self._copies = WholeCopies(pair.student) if self.is_fsdp_enabled else None
        self._task = task
        self._vitals = Vitals()
        self._buffer = RolloutBuffer(self._draw, task.settings)
        self.train_tokens = 0

    def create_accelerator_and_postprocess(self) -> None:
        """As the library does, with FSDP2 on CPUs too."""
        super().create_accelerator_and_postprocess()
        settle_sharding(self.accelerator)
        self.is_fsdp_enabled = self.accelerator.is_fsdp2

    def get_batch_samples(
        self, epoch_iterator: Iterator[Tensor], num_batches: int, device: torch.device
    ) -> tuple[list[Any], int]:
        """The parts of a step, and how many response tokens there are in all parts of all processes."""
        parts = [next(epoch_iterator).tolist() for _ in range(num_batches)]
        step = self.state.global_step
        rollouts = self._buffer.take(step, parts)
        own = [one for part in rollouts for one in part]
        self._vitals.note_responses(own, step)
        tokens = int(self._add_up(torch.tensor(sum(len(one.drawn.tokens) for one in own), device=device)))
        self.train_tokens += tokens
        return [{"positions": part, "rollouts": drawn} for part, drawn in zip(parts, rollouts, strict=True)], tokens

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """The divergence on the responses of a part. TrainingDiverged if it is not a number in any process."""
        with self.accelerator.autocast():
            loss = inside(
                model,
                self._pair.student.model,
                lambda: self._loss(inputs["positions"], inputs["rollouts"], num_items_in_batch),
            )
        if not math.isfinite(float(self._add_up(loss.detach()))):
            raise TrainingDiverged(
                f"step {self.state.global_step}: the loss is {loss.item()}; lower training.learning_rate"
            )
        return loss * self.accelerator.num_processes  # which are averaged

    def _loss(self, positions: list[int], rollouts: list[Rollout], num_tokens: int) -> Tensor:
        """A part's share in the mean over all tokens of the step of their weighted divergence."""
        task, pair = self._task, self._pair
        student = pair.student
        prompts = [task.prompt(position) for position in positions]
        batch = pair.models.encode(student, prompts)
        responses = Responses.of([one.drawn for one in rollouts], student.device)
        weights = [task.weights[task.order[position]] for position in positions]
        states, head = response_states(student.model, batch, responses)
        judged = pair.teacher.judge(prompts, responses, task.settings)
        spread = responses.spread(torch.tensor(weights, device=student.device))

        def learn(states: Tensor) -> tuple[Tensor, Tensor]:
            self._vitals.note_logits(states, head, judged.supports)
            return chunked_loss(states, head, judged.loss, spread / num_tokens)

        loss, losses = inside(head, head, learn, states)
        self._vitals.note_losses(losses, responses)
        return loss

    def _draw(self, positions: Sequence[int]) -> list[Drawn]:
        """Responses of the student as it is now. TrainingDiverged if training has made it unable to give any."""
        try:
            with self.accelerator.autocast(), self.whole_student() as student:
                return replace(self._pair, student=student).responses(self._task, positions)
        except ModelUnusable as error:
            if self.state.global_step:
                raise TrainingDiverged(f"step {self.state.global_step}: {error}") from None
            raise

    def _add_up(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        return self.accelerator.reduce(value) if self.accelerator.num_processes > 1 else value

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the vitals; all is saved with each checkpoint. TrainingDiverged if they cross a bound."""
        if "loss" not in logs:
            super().log(logs, start_time)
            return
        vitals, self._vitals = self._vitals, Vitals()
        logs |= vitals.means(self._add_up) | {"train_tokens": self.train_tokens}
        super().log(logs, start_time)
        alarm = find_alarm([_logged(entry) for entry in self._logs()], self._task.settings.health.bounds())
        if alarm is not None:
            raise TrainingDiverged(alarm)

    def _logs(self) -> list[dict[str, Any]]:
        """Entries of the log, those included that were written before a resume."""
        return [entry for entry in self.state.log_history if "loss" in entry]

    def history(self) -> tuple[TrainedStep, ...]:
        """What was logged; what is not a number cannot be recorded."""
        return tuple(_logged(entry) for entry in self._logs() if math.isfinite(entry["grad_norm"]))

    def go_back(self) -> int:
        """Take up the weights of the last good checkpoint; returns its step, 0 if there is none.

        Good is one from which a step was taken that went well: what this very step began with is what failed.
        """
        checkpoint = newest_whole(Path(self.args.output_dir), before=self.state.global_step)
        if checkpoint is None:
            return 0
        self._load_from_checkpoint(str(checkpoint))
        return step_of(checkpoint)

    def whole_student(self) -> AbstractContextManager[Loaded]:
        """The student as it is, with whole weights in each process; all of them ask together."""
        return nullcontext(self._pair.student) if self._copies is None else self._copies.take()

    def save_rollouts(self) -> None:
        """Complete the checkpoint of this step."""
        folder = self._folder(self.state.global_step)
        self._buffer.save(folder / self._rollout_file)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            seal(folder)

    def load_rollouts(self) -> None:
        """Take up what the resumed checkpoint holds; its step was logged before it was written."""
        if self.state.log_history:
            self.train_tokens = int(self.state.log_history[-1]["train_tokens"])
            self._buffer.load(self._folder(self.state.global_step) / self._rollout_file)

    @property
    def _rollout_file(self) -> str:
        return f"rollouts-{self.accelerator.process_index}.json"

    def _folder(self, step: int) -> Path:
        return Path(self.args.output_dir) / f"checkpoint-{step}"


class _Steps(TrainerCallback):
    """Shows progress, completes and takes up checkpoints, and stops at the token budget."""

    def __init__(self, trainer: Distillation, budget: int | None, advance: Advance) -> None:
        self._trainer = trainer
        self._budget = budget
        self._advance = advance

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Go on from where an earlier attempt was."""
        self._trainer.load_rollouts()
        self._advance(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """One step further."""
        self._advance(1)
        if self._budget is not None and self._trainer.train_tokens >= self._budget:
            control.should_training_stop = True
        if control.should_training_stop:
            control.should_log = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The library's part of a checkpoint is written."""
        self._trainer.save_rollouts()


def argument_values(settings: Training, seed: int, work_dir: Path, device: str) -> dict[str, Any]:
    """What the library is told of a training, by the names of `TrainingArguments`."""
    hardware = settings.hardware
    return {
        "output_dir": str(work_dir),
        "max_steps": settings.steps,
        "train_sampling_strategy": "sequential",
        "gradient_accumulation_steps": hardware.accumulation,
        "bf16": hardware.bf16,
        "gradient_checkpointing": hardware.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "save_steps": settings.checkpoint_steps,
        "save_total_limit": KEPT,
        # A checkpoint's log then always ends at its own step, so that a resume logs what an undisturbed run logs.
        "logging_steps": math.gcd(LOG_STEPS, settings.checkpoint_steps),
        "logging_nan_inf_filter": False,
        "remove_unused_columns": False,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": device == "cpu",
        "dataloader_pin_memory": False,
        "seed": derive_seed(seed, "trainer") % 2**31,
    }


def share_batch(arguments: TrainingArguments, settings: Training) -> None:
    """Give each process and part its share of a step's batch. UsageError if the shares would not be equal."""
    shares = arguments.world_size * settings.hardware.accumulation
    if settings.batch % shares:
        raise UsageError(
            f"training.batch = {settings.batch} cannot be shared by {arguments.world_size} processes and"
            f" {settings.hardware.accumulation} parts; make it a multiple of {shares}"
        )
    arguments.per_device_train_batch_size = settings.batch // shares


def training_arguments(settings: Training, seed: int, work_dir: Path, device: str) -> TrainingArguments:
    """The same as the library's object. UsageError if the batch cannot be shared by the processes."""
    arguments = TrainingArguments(**argument_values(settings, seed, work_dir, device))
    share_batch(arguments, settings)
    return arguments


def _logged(entry: dict[str, Any]) -> TrainedStep:
    quarters = tuple(entry[f"divergence_{index}"] for index in range(1, QUARTERS + 1))
    names = (field.name for field in fields(TrainedStep) if field.name != "divergence_quarters")
    return TrainedStep(**{name: entry[name] for name in names}, divergence_quarters=quarters)
