"""Answer divergence of the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from store.records.rollouts import Spent


@dataclass(frozen=True)
class Score:
    """The answer divergence of one prompt for one pair of versions."""

    prompt_id: str
    student: str
    teacher: str
    delta: float
    """Reverse KL(student || teacher) between the answer distributions, in nats (arXiv 2605.15532)."""
    low: float
    high: float
    num_student: int
    num_teacher: int
    estimator: str
    settings: Mapping[str, float]
    """The estimator's settings, e.g. its smoothing."""
    zero_delta: bool
    consistency: float
    """Mean agreement of the teacher's samples with its majority answer, in [0, 1]."""
    student_agreement: float
    """Share of the student's samples that give the teacher's majority answer, in [0, 1]."""
    p_value: float | None = None
    """Of the exact permutation test of equal distributions; None where it was not made."""
    differs: bool | None = None
    """Whether that test, after Benjamini-Hochberg over the scores of its stage, says that the two differ."""
    noise_floor: float | None = None
    """Δ between two halves of the teacher's own samples; None where there are no two."""
    predicted: bool = False
    """No sample of this student stands behind it: other prompts and the last round say so."""
    spread: float | None = None
    """Posterior standard deviation of Δ, where `delta` is a posterior mean."""
    zero_probability: float | None = None
    """Posterior probability that both answer alike, where `delta` is a posterior mean."""


@dataclass(frozen=True)
class Scores:
    """Output of the score stage: the pool as the current student sees it."""

    student: str
    scores: tuple[Score, ...]
    """In order of prompt id."""
    spent: Spent
