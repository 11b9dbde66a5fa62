"""The rows of the ledger. They never leave `store`: `store.ledger` takes and returns the records of `store.records`.

    prompts <- pool_prompts, rollouts, scores, candidates (by content)      embeddings (by content)   quarantine
    campaigns <- rounds <- stages, scores, regions, candidates, versions    versions <- rollouts, scores, evaluations
    evaluations <- harness_scores
    plans: how a stage's work was cut into batches                          leases: who works on a campaign
    orders: what an operator asks of who works on a campaign

A column has the name of the record's field that it keeps; `created` columns are UTC, ISO 8601, and are not facts.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, LargeBinary, MetaData, UniqueConstraint, false
from sqlmodel import Field, SQLModel

from store.columns import AnyName, AnyText, Json, Named
from store.records import Fate, Order, Origin, Role, RolloutStatus, Status


class Row(SQLModel):
    """What all tables share: one metadata, whose constraints have names that a migration can refer to."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _of_round() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["campaign", "round"], ["rounds.campaign", "rounds.index"])


class PromptRow(Row, table=True):
    """A prompt, by the digest of its content."""

    __tablename__ = "prompts"
    # Deferred: a batch may hold a child before its parent.
    __table_args__ = (ForeignKeyConstraint(["parent"], ["prompts.id"], deferrable=True, initially="DEFERRED"),)

    id: str = Field(primary_key=True)
    question: str = Field(sa_type=AnyText)
    images: tuple[str, ...] = Field(sa_type=Json)
    origin: Origin = Field(sa_type=Named(Origin))
    parent: str | None = Field(index=True)
    attributes: dict[str, str] = Field(sa_type=Json)
    created: str


class PoolPromptRow(Row, table=True):
    """A prompt's membership in a pool."""

    __tablename__ = "pool_prompts"

    pool: str = Field(primary_key=True)
    prompt_id: str = Field(primary_key=True, foreign_key="prompts.id", index=True)


class QuarantineRow(Row, table=True):
    """A prompt that could not be taken into a pool."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("pool", "source"),)

    id: int | None = Field(default=None, primary_key=True)
    pool: str
    source: str = Field(sa_type=AnyText)
    question: str = Field(sa_type=AnyText)
    reason: str = Field(sa_type=AnyText)


class EmbeddingRow(Row, table=True):
    """The unit vector of a prompt, float32 little-endian.

    No foreign key: candidates are embedded to find near-duplicates before anybody decides whether to keep them, and the
    vector depends on the content alone, of which `prompt_id` is the digest.
    """

    __tablename__ = "embeddings"

    embedder: str = Field(primary_key=True, sa_type=AnyText)
    prompt_id: str = Field(primary_key=True)
    vector: bytes = Field(sa_type=LargeBinary)


class RolloutRow(Row, table=True):
    """One sampled response."""

    __tablename__ = "rollouts"
    # Always read by a prefix of the key; without rowid the three digests of a key are stored once, not twice.
    __table_args__ = ({"sqlite_with_rowid": False},)

    version: str = Field(primary_key=True, foreign_key="versions.id")
    sampling: str = Field(primary_key=True)
    prompt_id: str = Field(primary_key=True, foreign_key="prompts.id")
    index: int = Field(primary_key=True)
    seed: int = Field(sa_type=BigInteger)
    text: str = Field(sa_type=AnyText)
    status: RolloutStatus = Field(sa_type=Named(RolloutStatus))
    answer: str | None = Field(sa_type=AnyText)
    canonical: str | None = Field(sa_type=AnyText)
    num_tokens: int


class ScoreRow(Row, table=True):
    """The answer divergence of a prompt in a round."""

    __tablename__ = "scores"
    __table_args__ = (_of_round(),)

    campaign: str = Field(primary_key=True)
    round: int = Field(primary_key=True)
    prompt_id: str = Field(primary_key=True, foreign_key="prompts.id", index=True)
    student: str = Field(foreign_key="versions.id")
    teacher: str = Field(foreign_key="versions.id")
    delta: float
    low: float
    high: float
    num_student: int
    num_teacher: int
    estimator: str
    settings: dict[str, float] = Field(sa_type=Json)
    zero_delta: bool
    consistency: float
    student_agreement: float
    p_value: float | None
    differs: bool | None
    noise_floor: float | None
    predicted: bool = Field(sa_column_kwargs={"server_default": false()})
    spread: float | None
    zero_probability: float | None


class RegionRow(Row, table=True):
    """A region of a round, with the posterior of its mean Δ."""

    __tablename__ = "regions"
    __table_args__ = (_of_round(),)

    campaign: str = Field(primary_key=True)
    round: int = Field(primary_key=True)
    index: int = Field(primary_key=True)
    size: int
    posterior_mean: float
    posterior_variance: float
    posterior_num: float
    skills: tuple[str, ...] = Field(sa_type=Json)
    budget: int
    seeds: tuple[str, ...] = Field(sa_type=Json)
    centroids: str
    """Blob of the round's centroids."""


class CandidateRow(Row, table=True):
    """A synthesised prompt and its fate, with its content: a rejected one is no row of `prompts`."""

    __tablename__ = "candidates"
    __table_args__ = (_of_round(),)

    campaign: str = Field(primary_key=True)
    round: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    prompt_id: str = Field(index=True)
    question: str = Field(sa_type=AnyText)
    images: tuple[str, ...] = Field(sa_type=Json)
    origin: Origin = Field(sa_type=Named(Origin))
    parent: str | None
    attributes: dict[str, str] = Field(sa_type=Json)
    fate: Fate = Field(sa_type=Named(Fate))
    detail: str = Field(sa_type=AnyText)
    region: int
    delta: float | None
    consistency: float | None


class VersionRow(Row, table=True):
    """A content-addressed model."""

    __tablename__ = "versions"
    __table_args__ = (_of_round(), Index(None, "campaign", "round"))

    id: str = Field(primary_key=True)
    role: Role = Field(sa_type=Named(Role))
    source: str = Field(sa_type=AnyText)
    parent: str | None = Field(foreign_key="versions.id")
    campaign: str | None
    round: int | None
    created: str


class EvaluationRow(Row, table=True):
    """A version's result on a suite under some conditions, a value per question."""

    __tablename__ = "evaluations"

    version: str = Field(primary_key=True, foreign_key="versions.id")
    key: str = Field(primary_key=True, sa_type=AnyName)
    """The suite and its conditions, as the caller names them."""
    suite: str = Field(sa_type=AnyName)
    metric: str = Field(sa_type=AnyName)
    prompt_ids: tuple[str, ...] = Field(sa_type=Json)
    values: tuple[float, ...] = Field(sa_type=Json)
    families: tuple[str, ...] = Field(sa_type=Json)
    created: str


class HarnessScoreRow(Row, table=True):
    """One metric of an evaluation that another harness made."""

    __tablename__ = "harness_scores"
    __table_args__ = (ForeignKeyConstraint(["version", "key"], ["evaluations.version", "evaluations.key"]),)

    version: str = Field(primary_key=True)
    key: str = Field(primary_key=True, sa_type=AnyName)
    metric: str = Field(primary_key=True, sa_type=AnyName)
    position: int
    """Order within the task."""
    value: float
    stderr: float | None
    harness: str
    harness_version: str
    samples: str
    """Blob of the task's questions, responses and scores."""


class CampaignTableRow(Row, table=True):
    """A campaign."""

    __tablename__ = "campaigns"

    name: str = Field(primary_key=True)
    status: Status = Field(sa_type=Named(Status))
    seed: int = Field(sa_type=BigInteger)
    pool: str
    identity: str
    created: str


class LeaseRow(Row, table=True):
    """Who works on a campaign. No facts, and no foreign key: a campaign is leased before it is started."""

    __tablename__ = "leases"

    campaign: str = Field(primary_key=True)
    token: int = Field(sa_type=BigInteger)
    """Grows with each owner."""
    host: str
    pid: int = Field(sa_type=BigInteger)
    boot: str
    started: str
    since: str
    expires: float
    """Seconds since 1970, by the clock of the database; 0 when it was given back."""


class OrderRow(Row, table=True):
    """What an operator asks of the controller of a campaign. No facts, and no foreign key, as in `leases`."""

    __tablename__ = "orders"

    campaign: str = Field(primary_key=True)
    order: Order = Field(sa_type=Named(Order))
    token: int = Field(sa_type=BigInteger)
    """Of the lease at that time; 0 if there was none."""
    since: str


class RoundTableRow(Row, table=True):
    """A round of a campaign."""

    __tablename__ = "rounds"

    campaign: str = Field(primary_key=True, foreign_key="campaigns.name")
    index: int = Field(primary_key=True)
    status: Status = Field(sa_type=Named(Status))
    settings: str = Field(sa_type=AnyText)
    commit: str
    dirty: bool
    created: str


class StageTableRow(Row, table=True):
    """A stage of a round."""

    __tablename__ = "stages"
    __table_args__ = (_of_round(),)

    campaign: str = Field(primary_key=True)
    round: int = Field(primary_key=True)
    name: str = Field(primary_key=True)
    position: int
    """Order of the first start within the round."""
    status: Status = Field(sa_type=Named(Status))
    seconds: float
    attempts: int
    inputs: dict[str, str] = Field(sa_type=Json)
    output: str | None
    error: str | None = Field(sa_type=AnyText)


class PlanRow(Row, table=True):
    """How a piece of work was cut into batches of prompt ids."""

    __tablename__ = "plans"

    key: str = Field(primary_key=True)
    batches: tuple[Any, ...] = Field(sa_type=Json)
