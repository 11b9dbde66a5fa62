"""The ports: what a round needs from the outside, as Protocols. Adapters in `loop/adapters` implement them.

    ledger    facts (loop/ledger_port.py)     samplers  version -> sampler -> streamed batches of samples
    embedder  prompts -> unit vectors         synthesizer  seeds + skills + count -> proposals
    trainer   student + prompts -> checkpoint evaluator  version -> a report per suite
    scorer    prompts + responses -> log-probabilities per token
    tracker   a view for people               progress  bars on a terminal, lines elsewhere

Nothing here imports torch, transformers, mlflow or an SQL library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from loop.ledger_port import Ledger
from store.records import (
    Origin,
    Prompt,
    Quarantined,
    Sample,
    Spent,
    SuiteReport,
    TrainedStep,
    Version,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from loop.config import CampaignSettings, Pool, Sampling
    from loop.training_settings import Training
    from loop.work import Work


class Blobs(Protocol):
    """Content-addressed bytes: images, stage outputs, arrays."""

    def put(self, data: bytes) -> str:
        """Store bytes, return their sha256."""
        ...

    def put_all(self, many: Sequence[bytes]) -> list[str]:
        """Store several pieces, return their sha256s in order."""
        ...

    def get(self, digest: str) -> bytes:
        """KeyError if absent; `store.errors.Corrupt` if the bytes do not match."""
        ...


class Index(Protocol):
    """Nearest neighbours among the embeddings of a pool."""

    def add(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Add unit vectors [n, d]; ids that are there already are skipped."""
        ...

    def save(self) -> None:
        """Write the index beside the ledger, temporary name first."""
        ...

    def nearest(self, vectors: NDArray[np.float32], k: int) -> list[list[tuple[str, float]]]:
        """For each row, up to k (prompt id, cosine), best first."""
        ...


@dataclass(frozen=True)
class SamplingJob:
    """What a sampler is to draw; the same job may always give the same samples."""

    prompts: Sequence[Prompt]
    n: int
    """Samples per prompt."""
    seed: int
    settings: Sampling
    """`temperature` 0 is greedy."""
    first_index: int = 0
    schema: Mapping[str, object] | None = None
    """JSON schema of the responses. An engine that can holds them to it; who passes one validates what comes back."""

    @property
    def indices(self) -> range:
        """Of the samples of each prompt."""
        return range(self.first_index, self.first_index + self.n)


class Sampler(Protocol):
    """Draws responses of one model version."""

    def sample(self, job: SamplingJob) -> Iterator[list[Sample]]:
        """Yield, as they finish, lists of samples.

        Each sample draws from its own generator, seeded by (seed, prompt id, index): neither the batch nor the order
        matters.
        """
        ...


@dataclass(frozen=True)
class TokenScores:
    """What a model thinks of a response, token by token; natural logarithms of probabilities at temperature 1."""

    given: NDArray[np.float32]
    """[tokens], of each token of the response after those before it."""
    top_ids: NDArray[np.int64]
    """[tokens, k], the likeliest tokens in that place, likeliest first."""
    top: NDArray[np.float32]
    """[tokens, k], theirs."""


class Scorer(Protocol):
    """Scores given responses with one model version."""

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]], *, top: int) -> list[TokenScores]:
        """Scores of a response per prompt, as token ids of the version's tokenizer, with the `top` likeliest tokens.

        Every response has at least one token. `top` may be 0: the given tokens alone. A response that does not fit
        into the engine's context behind its prompt gets scores of no tokens.
        """
        ...


class Samplers(Protocol):
    """Opens a sampler for a version, and keeps the models that are in use loaded."""

    def open(self, version: Version) -> Sampler: ...


class Embedder(Protocol):
    """Prompts to unit vectors."""

    @property
    def name(self) -> str:
        """Identity of the embedding: what made it, with its version."""
        ...

    def embed(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Float32 [n, d], rows of unit norm."""
        ...


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a synthesizer in one region."""

    seeds: tuple[Prompt, ...]
    num: int
    """Proposals, at most."""
    skills: tuple[str, ...]
    """If there are any, only questions that exercise one of them."""
    seed: int


@dataclass(frozen=True)
class Proposal:
    """A candidate as a synthesizer returns it, not yet checked."""

    question: str
    images: tuple[str, ...]
    parent: str
    attributes: Mapping[str, str]
    fault: str = ""
    """Why it is no question; then `question` is what came instead."""


@dataclass(frozen=True)
class Proposed:
    """What a synthesizer made of what was wanted."""

    proposals: tuple[tuple[Proposal, ...], ...]
    """For each `Wanted`, in order. Fewer than its `num` means: out of ideas."""
    spent: Spent = field(default_factory=Spent)


class Synthesizer(Protocol):
    """Writes new prompts from seeds: new questions on their images, or on images of its own."""

    def propose(self, work: Work, origin: Origin, wanted: Sequence[Wanted]) -> Proposed:
        """Proposals for one of the sources of new prompts; the same call twice gives the same ones."""
        ...


@dataclass(frozen=True)
class Contrast:
    """A prompt on which teacher and student differ, with what they say."""

    prompt: Prompt
    teacher: str
    """The answer that most of the teacher's samples give."""
    student: tuple[str, ...]
    """Responses of the student with other answers."""


@dataclass(frozen=True)
class Named:
    """What a student lacks, in the words of a generator."""

    skills: tuple[str, ...]
    """For each contrast, in order; '' where no usable name came."""
    spent: Spent


class SkillNamer(Protocol):
    """Names failure skills from contrasts."""

    def name_skills(self, work: Work, contrasts: Sequence[Contrast]) -> Named: ...


@dataclass(frozen=True)
class TrainingJob:
    """What a trainer is to do; the same job always gives the same model."""

    student: Version
    teacher: Version
    prompts: Sequence[Prompt]
    weights: Sequence[float]
    """Of the prompts, in their order."""
    settings: Training
    seed: int
    traces: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Teacher responses to each prompt, by its id, to learn from; none: the student learns on its own responses."""


@dataclass(frozen=True)
class TrainingRun:
    """What a trainer returns: a checkpoint folder in its working directory, if a good version came out; its cost."""

    folder: Path | None
    steps: int
    train_tokens: int
    """Response tokens that carried loss."""
    history: tuple[TrainedStep, ...]
    alarm: str = ""  # why the training ended before its last step


class Trainer(Protocol):
    """Distils the teacher into the student on a training set."""

    def train(self, job: TrainingJob, *, work_dir: Path, progress: Progress) -> TrainingRun:
        """Train, resuming from what `work_dir` holds. `store.errors.EmptyTrainingSet` if there is no prompt."""
        ...


WHOLE = "_whole"
"""Ends the name of a suite that is all of one of which a round takes a part."""


class Evaluator(Protocol):
    """Scores versions on held-out suites."""

    def suites(self, *, whole: bool) -> tuple[str, ...]:
        """Names of the suites; `whole` ones, e.g. `easy_vqa_whole`, where a round takes a fixed subsample."""
        ...

    def size(self, suite: str) -> int:
        """How many questions a suite has; of a harness's task, at most so many."""
        ...

    def contaminated(self, prompt: Prompt) -> str | None:
        """The id of a held-out question that the prompt repeats (same images, same normalised question), or None."""
        ...

    def evaluate(self, version: Version, suite: str, progress: Progress) -> SuiteReport:
        """Answer a suite greedily and score it in its own metric."""
        ...


class Checkpoints(Protocol):
    """Content-addressed model folders."""

    def add(self, folder: Path) -> str:
        """Move a folder in under the digest of its files; returns that digest."""
        ...

    def path(self, digest: str) -> Path:
        """KeyError if absent."""
        ...


class Tracker(Protocol):
    """A view for people. The ledger is the truth; losing a tracker loses nothing."""

    def stage_ended(self, campaign: str, round: int, stage: str, output: object, seconds: float) -> None:
        """Called once per finished stage with its output record."""
        ...

    def round_started(
        self, campaign: str, round: int, settings: Mapping[str, object], tags: Mapping[str, str]
    ) -> None: ...

    def round_ended(self, campaign: str, round: int, status: str) -> None: ...

    def campaign_ended(self, campaign: str, status: str) -> None: ...


class Progress(Protocol):
    """Tells a person how far a long piece of work is."""

    def bar(self, label: str, total: int | None) -> AbstractContextManager[Advance]: ...


class Advance(Protocol):
    def __call__(self, done: int, /) -> None: ...


class Spends(Protocol):
    """Counts what is spent, and ends the run when a limit is reached. `loop.spending.Spending` implements it."""

    @property
    def limits_campaign(self) -> bool:
        """Whether there is a limit for the campaign as a whole, so that earlier runs count."""
        ...

    def counts_from(self, spent: Spent, seconds: float) -> None:
        """What earlier runs of the campaign have spent."""
        ...

    def begin(self, stage: str, earlier_s: float) -> None:
        """A stage begins. `store.errors.DiskFull`, `store.errors.LimitReached`."""
        ...

    def draw(self, samples: int, tokens: int) -> None:
        """So many responses were drawn. `store.errors.LimitReached`."""
        ...

    def end(self, spent: Spent) -> None:
        """The stage has ended."""
        ...

    def watching(self, progress: Progress) -> Progress:
        """Progress that ends the run when its time is over."""
        ...


class SamplingPorts(Protocol):
    """What drawing recorded samples takes of the ports."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def samplers(self) -> Samplers: ...

    @property
    def progress(self) -> Progress: ...

    @property
    def spending(self) -> Spends: ...


@dataclass(frozen=True)
class Ports:
    """Everything that a round reaches the outside through."""

    ledger: Ledger
    blobs: Blobs
    checkpoints: Checkpoints
    index: Index
    samplers: Samplers
    embedder: Embedder
    synthesizer: Synthesizer
    trainer: Trainer
    evaluator: Evaluator
    tracker: Tracker
    source: Callable[[Pool], Iterator[Prompt | Quarantined]]
    """Reads what a pool is filled from."""
    progress: Progress
    work_dir: Path
    """Scratch of stages in progress; what a resume may continue from."""
    spending: Spends
    look: Callable[[], None] = lambda: None
    """Called between stages: waits while the campaign is paused, raises to end it (`loop.control`)."""
    budget: Callable[[CampaignSettings, int], CampaignSettings] = lambda settings, index: settings
    """The settings of a round that is about to start (`loop.online`)."""
    check_pool: Callable[[], None] = lambda: None
    """Called before the pool is loaded. `store.errors.PoolTooLarge` (`loop.pool_memory`)."""
    skill_namer: SkillNamer | None = None
    """None: the `skill` attributes of the prompts name them."""
