"""Where new prompts are aimed, and what became of each candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from store.records.prompts import Prompt
from store.records.rollouts import Spent
from store.records.scores import Score


@dataclass(frozen=True)
class Posterior:
    """What is believed of a region's mean Δ: a normal with this mean and variance after `num` prompts."""

    mean: float
    variance: float
    num: float
    """Effective number of observations; discounted from round to round, hence not an int."""


@dataclass(frozen=True)
class Region:
    """A cluster of the embedding space in one round."""

    index: int
    size: int
    posterior: Posterior
    skills: tuple[str, ...]
    """Skills at which the student fails here, worst first."""
    budget: int
    """Candidates to synthesise here, per synthesis stage."""
    seeds: tuple[str, ...]
    """Prompt ids that synthesis starts from."""


@dataclass(frozen=True)
class Aims:
    """Output of the target stage: where to synthesise, how much, and about what."""

    regions: tuple[Region, ...]
    centroids: str
    """Blob digest of the float32 [k, d] centroids (npy)."""
    assignment: Mapping[str, int]
    """Prompt id -> region index, for the whole pool."""
    embedder: str = ""
    """Name of the embedding that the regions lie in."""
    contrasts: int = 0
    """Prompts from which a generator was to name a skill that the student lacks; 0 where attributes name skills."""
    named: int = 0
    """Of these, the ones for which it did."""
    spent: Spent = field(default_factory=Spent)


class Fate(StrEnum):
    """What became of a synthesised candidate: admitted to the pool, or the filter that rejected it."""

    ADMITTED = "admitted"
    UNPARSED = "unparsed"
    DUPLICATE = "duplicate"
    CONTAMINATED = "contaminated"
    INCONSISTENT_TEACHER = "inconsistent_teacher"
    CONTRADICTED = "contradicted"
    ZERO_DELTA = "zero_delta"


@dataclass(frozen=True)
class Candidate:
    """A synthesised prompt and its fate. Every one is kept."""

    prompt: Prompt
    fate: Fate
    detail: str
    """The number or name behind the fate, e.g. `consistency 0.38 < 0.50`."""
    region: int
    delta: float | None = None
    consistency: float | None = None


@dataclass(frozen=True)
class StageYield:
    """Counts of one synthesis stage."""

    proposed: int
    parsed: int
    """Parsed, valid, not a duplicate, not contaminated: the base of the yield."""
    delta_prompts: int
    """Of the parsed ones, those whose plug-in Δ is not zero."""
    admitted: int

    @property
    def rate(self) -> float:
        """Share of delta prompts among the parsed candidates, before the consistency filter; 0 of nothing is 0."""
        return self.delta_prompts / self.parsed if self.parsed else 0.0


@dataclass(frozen=True)
class Admitted:
    """Output of the synthesize stage."""

    prompts: tuple[str, ...]
    scores: tuple[Score, ...]
    yields: Mapping[str, StageYield]
    """By origin: `seed_guided`, `skill_guided`, and `new_chart` where charts are made."""
    spent: Spent
