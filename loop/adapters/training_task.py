"""What a training works on: the pair, and the order of the prompts.

    position 0 … steps · batch - 1  ->  (step, place in its batch, prompt)

A position alone decides which prompt comes and by which seed its response is drawn, so that neither the number of
processes, nor the parts of a batch, nor a resume changes what is learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from loop.adapters.decoding import Drawn, Wanted, draw
from loop.adapters.models import Loaded, Models
from loop.adapters.teaching import Teacher
from loop.training_settings import Training
from store.records import Prompt, derive_seed


@dataclass(frozen=True)
class Task:
    """What is trained on, and how."""

    prompts: Sequence[Prompt]
    weights: Sequence[float]
    settings: Training
    seed: int
    traces: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """As in `TrainingJob`."""

    def facts(self) -> list[Any]:
        """Everything that the result depends on."""
        ids = [prompt.id for prompt in self.prompts]
        traces = {id: list(texts) for id, texts in self.traces.items()}
        return [ids, list(self.weights), self.settings.model_dump(), self.seed, traces]

    @cached_property
    def order(self) -> list[int]:
        """The prompt at each position: shuffled passes over the set, cut at the last step."""
        rng = np.random.default_rng(self.seed)
        total = self.settings.steps * self.settings.batch
        passes = math.ceil(total / len(self.prompts))
        return np.concatenate([rng.permutation(len(self.prompts)) for _ in range(passes)])[:total].tolist()

    def prompt(self, position: int) -> Prompt:
        """The prompt at a position."""
        return self.prompts[self.order[position]]

    def wanted(self, position: int) -> Wanted:
        """The response that is drawn for a position."""
        step, place = divmod(position, self.settings.batch)
        prompt = self.prompt(position)
        return Wanted(prompt.id, [derive_seed(self.seed, step, place, prompt.id)])

    def trace(self, position: int) -> int:
        """Which of the traces of its prompt is learnt at a position."""
        [seed] = self.wanted(position).seeds
        return seed % len(self.traces[self.prompt(position).id])


@dataclass(frozen=True)
class Pair:
    """The two models; the student's weights are the ones that move."""

    student: Loaded
    teacher: Teacher
    models: Models

    def responses(self, task: Task, positions: Sequence[int]) -> list[Drawn]:
        """One response to the prompt at each position: of the student as it is now, or a trace of the teacher's."""
        if task.traces:
            return [self._trace(task, position) for position in positions]
        batch = self.models.encode(self.student, [task.prompt(position) for position in positions])
        wanted = [task.wanted(position) for position in positions]
        settings = task.settings
        self.student.model.eval()
        drawn = draw(self.student, batch, wanted, temperature=settings.temperature, max_tokens=settings.max_tokens)
        self.student.model.train()
        return [own[0] for own in drawn]

    def _trace(self, task: Task, position: int) -> Drawn:
        """In the student's own tokens, whatever those of the teacher are."""
        tokens = self.student.tokens_of(task.traces[task.prompt(position).id][task.trace(position)])
        limit = task.settings.max_tokens
        return Drawn(tokens[:limit], len(tokens) <= limit)
