"""What pages show of a large ledger: a screenful at a time, and counts."""

from __future__ import annotations

from dataclasses import dataclass

from store.records.prompts import Origin, Prompt
from store.records.rollouts import RolloutStatus
from store.records.scores import Score
from store.records.synthesis import Candidate, Fate


@dataclass(frozen=True)
class PromptFilter:
    """Which of a round's scored prompts are wanted; what is None or empty holds back nothing."""

    words: str = ""
    """Beginnings of words that the question contains, in any order."""
    origin: Origin | None = None
    zero_delta: bool | None = None
    min_delta: float | None = None


@dataclass(frozen=True)
class ScoredPrompt:
    """A prompt with its Δ in one round."""

    prompt: Prompt
    score: Score


@dataclass(frozen=True)
class RoundScore:
    """The score of a prompt in one round of a campaign."""

    campaign: str
    round: int
    score: Score


@dataclass(frozen=True)
class AnswerCount:
    """How often a version gave an answer to a prompt under one sampling."""

    version: str
    sampling: str
    answer: str | None
    """Canonical; None where there is none."""
    status: RolloutStatus
    num: int


@dataclass(frozen=True)
class PlacedCandidate:
    """A candidate with its place among those of its round."""

    campaign: str
    round: int
    position: int
    candidate: Candidate


@dataclass(frozen=True)
class FateCount:
    """How many candidates of a round met a fate."""

    round: int
    fate: Fate
    num: int


@dataclass(frozen=True)
class DeltaHistogram:
    """How Δ is distributed over the prompts of a round."""

    edges: tuple[float, ...]
    """[bins + 1], in nats."""
    counts: tuple[int, ...]
    """[bins], of prompts that are not zero-delta."""
    zero: int
    """Zero-delta prompts."""
