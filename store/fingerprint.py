"""The fingerprint: one sha256 over the facts of a home or a campaign, the same for two homes with the same run.

Facts are prompts, pools, quarantine, rollouts, scores, regions, candidates, versions, evaluations, the settings of
rounds, and the inputs and outputs of completed stages. Not facts, hence left out: times, attempts, errors, statuses,
commits, plans and embeddings (means to facts), and where a version is loaded from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Select, select, union
from sqlmodel import col

from store.columns import byte_order
from store.records import Status, canonical_json
from store.tables import (
    CampaignTableRow,
    CandidateRow,
    EvaluationRow,
    HarnessScoreRow,
    PoolPromptRow,
    PromptRow,
    QuarantineRow,
    RegionRow,
    RolloutRow,
    RoundTableRow,
    Row,
    ScoreRow,
    StageTableRow,
    VersionRow,
)

KEYS: dict[type[Row], tuple[str, ...]] = {
    PromptRow: ("id",),
    PoolPromptRow: ("pool", "prompt_id"),
    QuarantineRow: ("pool", "source"),
    RolloutRow: ("version", "sampling", "prompt_id", "index"),
    ScoreRow: ("campaign", "round", "prompt_id"),
    RegionRow: ("campaign", "round", "index"),
    CandidateRow: ("campaign", "round", "position"),
    VersionRow: ("id",),
    EvaluationRow: ("version", "key"),
    HarnessScoreRow: ("version", "key", "position"),
    CampaignTableRow: ("name",),
    RoundTableRow: ("campaign", "index"),
    StageTableRow: ("campaign", "round", "name"),
}
"""The tables that hold facts, and the order in which their rows are read."""

LEFT_OUT: dict[type[Row], set[str]] = {
    PromptRow: {"created"},
    QuarantineRow: {"id"},
    VersionRow: {"created", "source"},
    EvaluationRow: {"created"},
    CampaignTableRow: {"created", "status"},
    RoundTableRow: {"created", "status", "commit", "dirty"},
    StageTableRow: {"position", "status", "seconds", "attempts", "error"},
}
"""Columns that tell how a run went or where things lie, not what it found."""


def fingerprint(connection: Connection, campaign: str | None = None) -> str:
    """The sha256 of all facts, or of those that belong to a campaign.

    To a campaign belong its rounds, stages, scores, regions and candidates; the versions that these name, with their
    evaluations; the prompts that these name, with these versions' rollouts; and its pool. So a second campaign that
    works on the same pool, or samples the same versions on the same prompts, changes the first one's fingerprint.
    """
    sha = hashlib.sha256()
    for row in KEYS:
        for fact in _facts(connection, row, campaign):
            sha.update(fact.encode("utf-8", "surrogatepass") + b"\n")
    return sha.hexdigest()


def _facts(connection: Connection, row: type[Row], campaign: str | None) -> Iterator[str]:
    names = [name for name in row.model_fields if name not in LEFT_OUT.get(row, ())]
    statement: Select[Any] = select(*(getattr(row, name) for name in names))
    if row is StageTableRow:
        statement = statement.where(col(StageTableRow.status) == Status.COMPLETED)
    if campaign is not None:
        statement = statement.where(_belongs(row, campaign))
    ordered = statement.order_by(*(byte_order(getattr(row, name), connection.dialect) for name in KEYS[row]))
    for values in connection.execute(ordered, execution_options={"yield_per": 1000}):
        yield canonical_json([row.__tablename__, dict(zip(names, values, strict=True))])


def _belongs(row: Any, campaign: str) -> Any:
    """The condition under which a row of a table belongs to a campaign."""
    versions = union(
        select(col(ScoreRow.student)).where(col(ScoreRow.campaign) == campaign),
        select(col(ScoreRow.teacher)).where(col(ScoreRow.campaign) == campaign),
        select(col(VersionRow.id)).where(col(VersionRow.campaign) == campaign),
    )
    prompts = union(
        select(col(ScoreRow.prompt_id)).where(col(ScoreRow.campaign) == campaign),
        select(col(CandidateRow.prompt_id)).where(col(CandidateRow.campaign) == campaign),
    )
    pools = select(col(CampaignTableRow.pool)).where(col(CampaignTableRow.name) == campaign)
    conditions: dict[type[Row], Any] = {
        PromptRow: col(PromptRow.id).in_(prompts),
        PoolPromptRow: col(PoolPromptRow.pool).in_(pools),
        QuarantineRow: col(QuarantineRow.pool).in_(pools),
        RolloutRow: col(RolloutRow.version).in_(versions) & col(RolloutRow.prompt_id).in_(prompts),
        VersionRow: col(VersionRow.id).in_(versions),
        EvaluationRow: col(EvaluationRow.version).in_(versions),
        HarnessScoreRow: col(HarnessScoreRow.version).in_(versions),
        CampaignTableRow: col(CampaignTableRow.name) == campaign,
    }
    if row in conditions:
        return conditions[row]
    return row.campaign == campaign
