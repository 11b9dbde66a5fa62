"""The frozen values that cross package borders: what flows between the ledger, the policies and the loop.

A round turns `Prompt`s into `Rollout`s, rollouts into `Score`s, scores into `Region`s with aims, aims into
`Candidate`s, the best prompts into a `TrainingSet`, that into a new `Version`, and that into a `Verdict`.
Standard library only: rows of the database never leave `store`, and these never depend on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from typing import Any


def digest(data: bytes) -> str:
    """The sha256 of some bytes, in hex: the id of a blob."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> str:
    """One JSON text per value: sorted keys, no spaces, no NaN. ValueError on NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """The sha256 of a JSON-able value's canonical text."""
    return digest(canonical_json(value).encode("utf-8", "surrogatepass"))


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from named parts, e.g. (campaign seed, round, stage, prompt id, sample index)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class Status(StrEnum):
    """Where a campaign, a round or a stage stands. pending -> running -> completed | failed | stopped.

    `failed` and `stopped` go back to `running` when the campaign is run again; `completed` is final.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


class Origin(StrEnum):
    """How a prompt came to be."""

    SEED = "seed"
    SEED_GUIDED = "seed_guided"
    SKILL_GUIDED = "skill_guided"
    HELD_OUT = "held_out"


class Role(StrEnum):
    """Which of the two models a version belongs to."""

    TEACHER = "teacher"
    STUDENT = "student"


class RolloutStatus(StrEnum):
    """What became of a sampled response. `truncated` and `no_answer` are answer classes of their own."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    TRUNCATED = "truncated"


class Fate(StrEnum):
    """What became of a synthesised candidate: admitted to the pool, or the filter that rejected it."""

    ADMITTED = "admitted"
    UNPARSED = "unparsed"
    DUPLICATE = "duplicate"
    CONTAMINATED = "contaminated"
    INCONSISTENT_TEACHER = "inconsistent_teacher"
    ZERO_DELTA = "zero_delta"


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
class Version:
    """A model at one point of its life: a content-addressed checkpoint."""

    id: str
    """Digest of the checkpoint's files."""
    role: Role
    source: str
    """What loads it: a folder, a hub name, or `embedded:student`."""
    parent: str | None = None
    campaign: str | None = None
    round: int | None = None


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
class Spent:
    """What a stage paid for in this run of it: rollouts that the ledger already held cost nothing."""

    teacher_samples: int = 0
    student_samples: int = 0
    teacher_tokens: int = 0
    student_tokens: int = 0
    train_tokens: int = 0

    @staticmethod
    def total(parts: Iterable[Spent]) -> Spent:
        """The sum over stages."""
        rows = [astuple(part) for part in parts]
        return Spent(*map(sum, zip(*rows, strict=True)))


@dataclass(frozen=True)
class Scores:
    """Output of the score stage: the pool as the current student sees it."""

    student: str
    scores: tuple[Score, ...]
    """In order of prompt id."""
    spent: Spent


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
    """By origin: `seed_guided`, `skill_guided`."""
    spent: Spent


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


@dataclass(frozen=True)
class Trained:
    """Output of the distill stage: the new version and how it was reached."""

    version: Version
    steps: int
    prompts: int
    history: tuple[TrainedStep, ...]
    spent: Spent


@dataclass(frozen=True)
class HeldOutQuestion:
    """One question of an evaluation suite with its references."""

    prompt: Prompt
    references: tuple[str, ...]


@dataclass(frozen=True)
class SuiteReport:
    """One version's result on one suite: a score per question, in the suite's own metric."""

    suite: str
    metric: str
    prompt_ids: tuple[str, ...]
    values: tuple[float, ...]
    """Score of each question in [0, 1], aligned with `prompt_ids`."""
    families: tuple[str, ...]
    """Family of each question, '' where unknown; aligned with `prompt_ids`."""

    @property
    def accuracy(self) -> float:
        """Mean score."""
        return sum(self.values) / len(self.values) if self.values else 0.0


@dataclass(frozen=True)
class Report:
    """Output of an evaluate stage: all suites for one version."""

    version: str
    suites: tuple[SuiteReport, ...]
    mean_over: tuple[str, ...]
    """Names of the suites whose unweighted mean is `mean`; other suites are shown beside it."""

    @property
    def mean(self) -> float:
        """Unweighted mean of the main suites' accuracies."""
        main = [suite.accuracy for suite in self.suites if suite.suite in self.mean_over]
        return sum(main) / len(main) if main else 0.0

    def by_suite(self) -> dict[str, float]:
        """Accuracy per suite, and their `mean`."""
        return {suite.suite: suite.accuracy for suite in self.suites} | {"mean": self.mean}


@dataclass(frozen=True)
class Verdict:
    """Output of the judge stage, and of a round."""

    promoted: bool
    student: Version
    """The student that the next round starts from."""
    gain: float
    """Paired mean difference candidate - student over the main suites."""
    low: float
    high: float
    stop: bool
    reason: str


@dataclass(frozen=True)
class StageRow:
    """A stage as the ledger tells it."""

    name: str
    status: Status
    seconds: float
    attempts: int
    inputs: Mapping[str, str]
    """Digest of each input by parameter name."""
    output: str | None
    """Blob digest of the output's JSON; None until completed."""
    error: str | None


@dataclass(frozen=True)
class RoundRow:
    """A round as the ledger tells it. Round 0 is the preparation: the pool and the baselines."""

    campaign: str
    index: int
    status: Status
    settings: str
    """The campaign settings that this round runs under, as canonical JSON."""
    commit: str
    dirty: bool
    stages: tuple[StageRow, ...]

    @property
    def seconds(self) -> float:
        """Time spent in the round's stages, all attempts together."""
        return sum(stage.seconds for stage in self.stages)


@dataclass(frozen=True)
class CampaignRow:
    """A campaign as the ledger tells it."""

    name: str
    status: Status
    seed: int
    pool: str
    identity: str
    """Digest of what must not change between runs: the pair and the seed."""
    created: str
    """UTC, ISO 8601."""
