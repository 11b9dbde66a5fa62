"""What a round trains on, and how the training went."""

from __future__ import annotations

from dataclasses import dataclass, field

from store.records.rollouts import Spent, Version


@dataclass(frozen=True)
class Reported:
    """Δ of a set of prompts by samples that had no part in choosing them: free of the winner's curse."""

    prompts: int
    samples: int
    """Per prompt and side."""
    delta: float
    """Mean plug-in reverse KL, in nats; few samples bias it upwards."""
    low: float
    high: float
    """Interval of that mean over prompts."""
    squared_distance: float
    """Mean unbiased Σ(p - q)², in [-1, 2]."""


@dataclass(frozen=True)
class TrainingSet:
    """Output of the select stage: what the student trains on, best first."""

    prompts: tuple[str, ...]
    weights: tuple[float, ...]
    digest: str
    mean_delta: float
    """By the samples that selected, hence too high."""
    reported: Reported | None = None
    """The training set by fresh samples; None where none are drawn."""
    pool: Reported | None = None
    """A random part of the pool by fresh samples."""
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True)
class TrainedStep:
    """One logged step of a training."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    response_tokens: float
    """Mean response length in tokens: length inflation shows here (2604.08527)."""
    truncated_share: float
    rollout_age: float = 0.0
    """Mean number of steps since the responses were drawn: those between them moved the student."""
    repetition: float = 0.0
    """Share of four-token sequences that their response holds already."""
    entropy: float = 0.0
    """Of the student's next-token distribution, mean over tokens, in nats."""
    support_share: float = 1.0
    """Share of drawn tokens that are among the teacher's likeliest."""
    divergence_quarters: tuple[float, ...] = ()
    """Mean divergence per token in each quarter of the responses, in nats."""


@dataclass(frozen=True)
class Trained:
    """Output of the distill stage: the new version and how it was reached."""

    version: Version
    steps: int
    prompts: int
    history: tuple[TrainedStep, ...]
    spent: Spent
    alarm: str = ""
    """Why the training ended before its last step: a health bound was crossed, or a loss was not a number."""
