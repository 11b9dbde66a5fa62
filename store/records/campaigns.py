"""Campaigns, rounds and stages as the ledger tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a campaign, a round or a stage stands. pending -> running -> completed | failed | stopped.

    `failed` and `stopped` go back to `running` when the campaign is run again; `completed` is final.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


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
