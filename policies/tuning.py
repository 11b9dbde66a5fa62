"""Which budget is best: what trials are worth, which dominate, which one to take, and which to repeat.

A trial is worth an accuracy, with the standard error of its questions and seeds, and cost tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MILLION = 1_000_000
REPEAT_ERRORS = 2.0
"""Standard errors of a difference within which a trial may still be the best one."""


@dataclass(frozen=True)
class Worth:
    """What a campaign, or several with different seeds, came to."""

    accuracy: float
    """Of the student that was kept; mean over seeds."""
    error: float
    """Standard error of it."""
    before: float
    """Accuracy of the student at the start."""
    tokens: float
    """What it would have spent without a shared baseline; mean over seeds."""
    paid: float
    """What it did spend, all seeds together."""
    seeds: int = 1

    @property
    def ratio(self) -> float:
        """Gain in accuracy per million tokens."""
        return MILLION * (self.accuracy - self.before) / max(self.tokens, 1.0)


def pooled(parts: Sequence[Worth]) -> Worth:
    """Several seeds as one: the error is that of their questions, or of the seeds' spread if that is larger."""
    num = len(parts)
    accuracy = sum(part.accuracy for part in parts) / num
    error = math.sqrt(sum(part.error**2 for part in parts)) / num
    if num > 1:
        spread = sum((part.accuracy - accuracy) ** 2 for part in parts) / (num - 1)
        error = max(error, math.sqrt(spread / num))
    return Worth(
        accuracy,
        error,
        parts[0].before,
        sum(part.tokens for part in parts) / num,
        sum(part.paid for part in parts),
        sum(part.seeds for part in parts),
    )


def may_be_best(worth: Worth, best: float | None) -> bool:
    """Whether noise alone may explain that a trial is behind the best accuracy so far: then it is worth repeating."""
    return best is None or worth.accuracy + REPEAT_ERRORS * math.sqrt(2) * worth.error >= best


def front(trials: Sequence[Worth]) -> list[int]:
    """Positions that no other dominates: none is as accurate and as cheap, and better in one of the two."""

    def dominates(a: Worth, b: Worth) -> bool:
        no_worse = a.accuracy >= b.accuracy and a.tokens <= b.tokens
        return no_worse and (a.accuracy > b.accuracy or a.tokens < b.tokens)

    return [place for place, own in enumerate(trials) if not any(dominates(other, own) for other in trials)]


def choose(trials: Sequence[Worth]) -> int:
    """The cheapest trial whose accuracy is within one standard error of the best (Breiman et al. 1984).

    ValueError if there is none.
    """
    if not trials:
        raise ValueError("no trial to choose from")
    best = max(trials, key=lambda own: (own.accuracy, -own.tokens))
    near = [place for place, own in enumerate(trials) if own.accuracy >= best.accuracy - best.error]
    return min(near, key=lambda place: (trials[place].tokens, -trials[place].accuracy, place))
