"""Versions of the models, what they were sampled, and what that cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from enum import StrEnum


class Role(StrEnum):
    """Which model a version belongs to: the pair, or the one that writes questions where it is neither."""

    TEACHER = "teacher"
    STUDENT = "student"
    GENERATOR = "generator"


@dataclass(frozen=True)
class Version:
    """A model at one point of its life: a content-addressed checkpoint."""

    id: str
    """Digest of the checkpoint's files; of a model behind a server, of its name."""
    role: Role
    source: str
    """What loads it: a folder, a hub name, or `embedded:student`."""
    parent: str | None = None
    campaign: str | None = None
    round: int | None = None


class RolloutStatus(StrEnum):
    """What became of a sampled response. `truncated` and `no_answer` are answer classes of their own."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"


@dataclass(frozen=True)
class Sample:
    """One response as a sampler returns it, before anyone decides what its answer is."""

    prompt_id: str
    index: int
    seed: int
    text: str
    num_tokens: int
    truncated: bool


@dataclass(frozen=True)
class Rollout:
    """One sampled response of one model version to one prompt, with its answer."""

    prompt_id: str
    version: str
    sampling: str
    """Digest of template and sampling settings: part of the cache key."""
    index: int
    seed: int
    text: str
    status: RolloutStatus
    answer: str | None
    canonical: str | None
    num_tokens: int


@dataclass(frozen=True)
class Spent:
    """What a stage paid for in this run of it: rollouts that the ledger already held cost nothing."""

    teacher_samples: int = 0
    student_samples: int = 0
    teacher_tokens: int = 0
    student_tokens: int = 0
    train_tokens: int = 0
    generator_samples: int = 0
    generator_tokens: int = 0
    """What a generator wrote, whichever model it is: a teacher that writes questions is counted here."""

    @staticmethod
    def total(parts: Iterable[Spent]) -> Spent:
        """The sum over stages."""
        rows = [astuple(part) for part in parts]
        return Spent(*map(sum, zip(*rows, strict=True)))
