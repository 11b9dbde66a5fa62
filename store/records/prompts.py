"""Prompts: questions with images, where they came from, and those that could not be taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from store.records.digests import digest_of


class Origin(StrEnum):
    """How a prompt came to be."""

    SEED = "seed"
    SEED_GUIDED = "seed_guided"
    SKILL_GUIDED = "skill_guided"
    NEW_CHART = "new_chart"
    HELD_OUT = "held_out"
    INSTRUCTION = "instruction"
    """What a generator was told: no question, and in no pool."""


@dataclass(frozen=True)
class Prompt:
    """A question with zero or more images. Its id is the digest of these two and of nothing else."""

    id: str
    question: str
    images: tuple[str, ...]
    """Blob digests of the encoded image files, in order."""
    origin: Origin
    parent: str | None = None
    """Id of the prompt that this one was synthesised from."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What the source knows: `domain`, `family`, `skill`, `scene`, ...; never part of the id."""

    @staticmethod
    def make(
        question: str,
        images: Sequence[str] = (),
        origin: Origin = Origin.SEED,
        parent: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> Prompt:
        """A prompt with its id computed."""
        return Prompt(prompt_id(question, images), question, tuple(images), origin, parent, dict(attributes or {}))


def prompt_id(question: str, images: Sequence[str]) -> str:
    """The digest of a prompt's content."""
    return digest_of({"question": question, "images": list(images)})


@dataclass(frozen=True)
class Quarantined:
    """A prompt that could not be taken into a pool, kept with the reason."""

    source: str
    """Where it came from, e.g. `prompts.jsonl:17`."""
    question: str
    reason: str


@dataclass(frozen=True)
class Filled:
    """Output of the pool stage: what the campaign starts from."""

    pool: str
    prompts: int
    quarantined: int
    digest: str
    """Digest of the sorted prompt ids."""


@dataclass(frozen=True)
class HeldOutQuestion:
    """One question of an evaluation suite with its references."""

    prompt: Prompt
    references: tuple[str, ...]
