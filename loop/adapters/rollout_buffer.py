"""Responses that are drawn ahead: the student as it is draws those of its next `sync_steps` steps at once.

    step -> positions of this process -> responses, drawn now or up to sync_steps - 1 steps ago

What is not used yet is part of a checkpoint, so that a resumed training goes on with the very same responses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loop.adapters.decoding import Drawn
from loop.training_settings import Training


@dataclass(frozen=True)
class Rollout:
    """A response, and the step before which it was drawn."""

    drawn: Drawn
    step: int


class RolloutBuffer:
    """Draws the responses of several steps when the first of them begins."""

    def __init__(self, draw: Callable[[Sequence[int]], list[Drawn]], settings: Training) -> None:
        """`draw` takes positions, and gives the response of the student as it is now to each."""
        self._draw = draw
        self._settings = settings
        self._rollouts: dict[int, Rollout] = {}

    def take(self, step: int, parts: Sequence[Sequence[int]]) -> list[list[Rollout]]:
        """The responses at the positions of a step's parts; drawn now if they are not there yet."""
        if any(position not in self._rollouts for part in parts for position in part):
            for part in parts:
                self._draw_ahead(step, part)
        return [[self._rollouts.pop(position) for position in part] for part in parts]

    def _draw_ahead(self, step: int, part: Sequence[int]) -> None:
        """For this step and those until the student is asked anew; each step takes the same places of its batch."""
        until = min(step + self._settings.sync_steps - step % self._settings.sync_steps, self._settings.steps)
        for ahead in range(until - step):
            positions = [position + ahead * self._settings.batch for position in part]
            for position, drawn in zip(positions, self._draw(positions), strict=True):
                self._rollouts[position] = Rollout(drawn, step)

    def save(self, file: Path) -> None:
        """Write what is not used yet, as JSON."""
        file.write_text(json.dumps({at: asdict(one) for at, one in self._rollouts.items()}), encoding="utf-8")

    def load(self, file: Path) -> None:
        """Take up what `save` wrote."""
        self._rollouts = {
            int(position): Rollout(Drawn(tuple(row["drawn"]["tokens"]), row["drawn"]["ended"]), row["step"])
            for position, row in json.loads(file.read_text(encoding="utf-8")).items()
        }
