"""The ledger as stages see it: the longest of the ports, which `loop.ports` hands on with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from store.records import (
    Aims,
    AnswerCount,
    CampaignRow,
    Candidate,
    Lease,
    Order,
    Owner,
    Prompt,
    Quarantined,
    Region,
    Rollout,
    RoundRow,
    Score,
    StageRow,
    Status,
    SuiteReport,
    Version,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Ledger(Protocol):
    """The facts that stages read and write. One call is one transaction; adding a fact twice is harmless.

    `store.ledger.Ledger` implements it in SQL.
    """

    # prompts and pools
    def add_prompts(self, prompts: Sequence[Prompt], *, pool: str | None = None) -> int:
        """Store prompts, and put them into a pool if one is named; returns how many of them were new to the pool."""
        ...

    def quarantine(self, pool: str, rows: Sequence[Quarantined]) -> None: ...

    def quarantined(self, pool: str) -> tuple[Quarantined, ...]: ...

    def pool(self, pool: str) -> tuple[Prompt, ...]:
        """All prompts of a pool, in order of id."""
        ...

    def pool_size(self, pool: str) -> tuple[int, int]:
        """How many prompts a pool has, and how many characters their questions and attributes."""
        ...

    def prompts(self, ids: Sequence[str]) -> tuple[Prompt, ...]:
        """The prompts with these ids, in this order. KeyError names the first one that is not there."""
        ...

    # embeddings
    def embeddings(self, embedder: str, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors that exist, by prompt id."""
        ...

    def dimension(self, embedder: str) -> int | None:
        """Of the vectors that an embedder made; None if it has made none."""
        ...

    def add_embeddings(self, embedder: str, vectors: Mapping[str, NDArray[np.float32]]) -> None: ...

    # rollouts and scores
    def add_rollouts(self, rollouts: Sequence[Rollout]) -> None: ...

    def rollouts(
        self, version: str, sampling: str, ids: Sequence[str], *, texts: bool = True
    ) -> dict[str, tuple[Rollout, ...]]:
        """Rollouts of a version under one sampling, by prompt id, in order of index; absent where there is none.

        Without `texts`, `text` is empty.
        """
        ...

    def samplings(self, version: str, beginning: str) -> tuple[str, ...]:
        """The samplings with this beginning under which a version has rollouts, in order."""
        ...

    def answers(self, id: str, versions: Sequence[str]) -> tuple[AnswerCount, ...]:
        """How often each version gave which answer to a prompt, the most frequent first of each sampling."""
        ...

    def add_scores(self, campaign: str, round: int, scores: Sequence[Score]) -> None: ...

    def scores(self, campaign: str, round: int) -> tuple[Score, ...]:
        """The scores that a campaign's round recorded, in order of prompt id."""
        ...

    # regions and candidates
    def add_aims(self, campaign: str, round: int, aims: Aims) -> None:
        """Record a round's regions; those of an earlier attempt are replaced."""
        ...

    def regions(self, campaign: str, round: int) -> tuple[Region, ...]:
        """The regions that a campaign's round recorded, in order of index; empty if it recorded none."""
        ...

    def add_candidates(self, campaign: str, round: int, candidates: Sequence[Candidate]) -> None:
        """Record all candidates of a round, in their order; those of an earlier attempt are replaced."""
        ...

    def candidates(self, campaign: str, round: int) -> tuple[Candidate, ...]: ...

    # versions and evaluations
    def add_version(self, version: Version) -> None: ...

    def version(self, id: str) -> Version:
        """KeyError if there is none."""
        ...

    def add_evaluation(self, version: str, suite: str, report: SuiteReport) -> None: ...

    def find_evaluation(self, version: str, suite: str) -> SuiteReport | None: ...

    # campaigns, rounds and stages
    def start_campaign(self, name: str, *, seed: int, pool: str, identity: str) -> CampaignRow:
        """Create or reopen a campaign and mark it running. UsageError if it exists with another identity."""
        ...

    def end_campaign(self, name: str, status: Status) -> None: ...

    def find_campaign(self, name: str) -> CampaignRow | None: ...

    def campaigns(self) -> tuple[CampaignRow, ...]:
        """All campaigns, oldest first."""
        ...

    def start_round(self, campaign: str, round: int, *, settings: str, commit: str, dirty: bool) -> RoundRow:
        """Create or reopen a round and mark it running; a reopened round keeps the settings of its first start."""
        ...

    def end_round(self, campaign: str, round: int, status: Status) -> None: ...

    def find_round(self, campaign: str, round: int) -> RoundRow | None: ...

    def rounds(self, campaign: str) -> tuple[RoundRow, ...]:
        """All rounds of a campaign with their stages (in order of start), in order of index."""
        ...

    def find_stage(self, campaign: str, round: int, name: str) -> StageRow | None: ...

    def start_stage(self, campaign: str, round: int, name: str, inputs: Mapping[str, str]) -> None:
        """Mark a stage running, and count the attempt."""
        ...

    def end_stage(
        self,
        campaign: str,
        round: int,
        name: str,
        status: Status,
        *,
        seconds: float,
        output: str | None = None,
        error: str | None = None,
    ) -> None:
        """Record how an attempt ended; `seconds` is added to what earlier attempts took."""
        ...

    # one controller per campaign
    def take_lease(self, campaign: str, owner: Owner, *, lease_s: float) -> Lease:
        """Become the one that works on a campaign; from now on every write here needs, and renews, the lease.

        `store.errors.CampaignHeld` names another owner that is alive.
        """
        ...

    def find_lease(self, campaign: str) -> Lease | None:
        """The newest lease of a campaign, expired or not."""
        ...

    def renew_lease(self) -> None:
        """Heartbeat. `store.errors.LeaseLost` if another process has taken the lease, as from every write."""
        ...

    def release_lease(self, lease: Lease) -> None: ...

    def find_order(self, campaign: str) -> Order:
        """What an operator asks of the controller of a campaign now."""
        ...

    # work that is planned once
    def find_plan(self, key: str) -> tuple[tuple[str, ...], ...] | None:
        """The batches of prompt ids recorded under a key, or None."""
        ...

    def add_plan(self, key: str, batches: Sequence[Sequence[str]]) -> None:
        """Record how a stage's work is cut into batches. ValueError if the key holds another plan."""
        ...
