"""Campaigns, their rounds, the stages of a round, and the plans of a stage's work: all that a resume reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlmodel import col

from store.columns import escape
from store.database import Database, add, columns, now
from store.errors import Missing, StageChanged, UsageError
from store.records import CampaignRow, RoundRow, StageRow, Status
from store.tables import CampaignTableRow, PlanRow, RoundTableRow, StageTableRow

CAMPAIGN: Any = columns(CampaignTableRow, CampaignRow)
ROUND: Any = [getattr(RoundTableRow, name) for name in ("campaign", "index", "status", "settings", "commit", "dirty")]
STAGE: Any = columns(StageTableRow, StageRow)


class Rounds:
    """The part of the ledger that tells how far a campaign has come."""

    _database: Database

    # campaigns
    def start_campaign(self, name: str, *, seed: int, pool: str, identity: str) -> CampaignRow:
        """Create or reopen a campaign and mark it running. UsageError if it exists with another identity."""
        row = {
            "name": name,
            "status": Status.RUNNING,
            "seed": seed,
            "pool": pool,
            "identity": identity,
            "created": now(),
        }
        with self._database.writing() as connection:
            add(connection, CampaignTableRow, [row])
            held = _campaign(connection, name)
            if held is not None and held.identity != identity:
                raise UsageError(
                    f"campaign `{name}` was started with another pair or seed (identity {held.identity[:12]}, now"
                    f" {identity[:12]}); give the campaign a new `name`, or restore the pair and the seed"
                )
            self._update_campaign(connection, name, status=Status.RUNNING, pool=pool)
            held = _campaign(connection, name)
        assert held is not None
        return held

    def end_campaign(self, name: str, status: Status) -> None:
        """Record how a run of a campaign ended. Missing (a KeyError) if there is none."""
        with self._database.writing() as connection:
            self._update_campaign(connection, name, status=status)

    def find_campaign(self, name: str) -> CampaignRow | None:
        """A campaign by its name, or None."""
        with self._database.reading() as connection:
            return _campaign(connection, name)

    def campaigns(self) -> tuple[CampaignRow, ...]:
        """All campaigns, oldest first."""
        order = (col(CampaignTableRow.created), col(CampaignTableRow.name))
        with self._database.reading() as connection:
            return tuple(CampaignRow(*row) for row in connection.execute(select(*CAMPAIGN).order_by(*order)))

    # rounds
    def start_round(self, campaign: str, round: int, *, settings: str, commit: str, dirty: bool) -> RoundRow:
        """Create or reopen a round and mark it running; a reopened round keeps the settings of its first start.

        Missing (a KeyError) if there is no such campaign.
        """
        row = {"campaign": campaign, "index": round, "status": Status.RUNNING, "settings": settings}
        with self._database.writing() as connection:
            if _campaign(connection, campaign) is None:
                raise Missing(f"the ledger holds no campaign {campaign!r}; start it first")
            add(connection, RoundTableRow, [row | {"commit": commit, "dirty": dirty, "created": now()}])
            self._update_round(connection, campaign, round, Status.RUNNING)
            return _rounds(connection, campaign, round)[0]

    def end_round(self, campaign: str, round: int, status: Status) -> None:
        """Record how a round ended. Missing (a KeyError) if there is none."""
        with self._database.writing() as connection:
            self._update_round(connection, campaign, round, status)

    def find_round(self, campaign: str, round: int) -> RoundRow | None:
        """A round with its stages, or None."""
        with self._database.reading() as connection:
            return next(iter(_rounds(connection, campaign, round)), None)

    def rounds(self, campaign: str) -> tuple[RoundRow, ...]:
        """All rounds of a campaign with their stages (in order of start), in order of index."""
        with self._database.reading() as connection:
            return _rounds(connection, campaign)

    # stages
    def find_stage(self, campaign: str, round: int, name: str) -> StageRow | None:
        """A stage, or None."""
        with self._database.reading() as connection:
            return _stage(connection, campaign, round, name)

    def start_stage(self, campaign: str, round: int, name: str, inputs: Mapping[str, str]) -> None:
        """Mark a stage running, and count the attempt.

        StageChanged if it is completed already (that is final); Missing (a KeyError) if there is no such round.
        """
        key = {"campaign": campaign, "round": round, "name": name}
        started = {"status": Status.RUNNING, "inputs": dict(inputs), "output": None, "error": None}
        with self._database.writing() as connection:
            held = _stage(connection, campaign, round, name)
            if held is not None and held.status is Status.COMPLETED:
                raise StageChanged(
                    f"stage `{name}` of round {round} of `{campaign}` is completed; it cannot start again"
                )
            if held is None:
                position = _num_stages(connection, campaign, round)
                add(connection, StageTableRow, [key | started | {"position": position, "seconds": 0.0, "attempts": 1}])
            else:
                statement = update(StageTableRow).where(*_stage_key(campaign, round, name))
                connection.execute(statement.values(**started, attempts=held.attempts + 1))

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
        """Record how an attempt ended; `seconds` is added to what earlier attempts took.

        Missing (a KeyError) if the stage was not started.
        """
        statement = update(StageTableRow).where(*_stage_key(campaign, round, name))
        total = col(StageTableRow.seconds) + seconds
        with self._database.writing() as connection:
            ended = connection.execute(statement.values(status=status, seconds=total, output=output, error=error))
            if not ended.rowcount:
                raise Missing(
                    f"the ledger holds no stage {name!r} in round {round} of campaign {campaign!r}; start it first"
                )

    # plans
    def find_plan(self, key: str) -> tuple[tuple[str, ...], ...] | None:
        """The batches of prompt ids recorded under a key, or None."""
        with self._database.reading() as connection:
            return _plan(connection, key)

    def add_plan(self, key: str, batches: Sequence[Sequence[str]]) -> None:
        """Record how a stage's work is cut into batches. StageChanged (a ValueError) if the key holds another plan."""
        plan = tuple(tuple(batch) for batch in batches)
        with self._database.writing() as connection:
            add(connection, PlanRow, [{"key": key, "batches": plan}])
            if _plan(connection, key) != plan:
                raise StageChanged(f"another plan is recorded under `{key}`; read it with find_plan and keep to it")

    def _update_campaign(self, connection: Connection, name: str, **values: Any) -> None:
        statement = update(CampaignTableRow).where(col(CampaignTableRow.name) == name).values(**values)
        if not connection.execute(statement).rowcount:
            raise Missing(f"the ledger holds no campaign {name!r}; `deltaloop status` lists the campaigns")

    def _update_round(self, connection: Connection, campaign: str, index: int, status: Status) -> None:
        key = (col(RoundTableRow.campaign) == campaign, col(RoundTableRow.index) == index)
        if not connection.execute(update(RoundTableRow).where(*key).values(status=status)).rowcount:
            raise Missing(f"the ledger holds no round {index} of campaign {campaign!r}; start it first")


def _campaign(connection: Connection, name: str) -> CampaignRow | None:
    row = connection.execute(select(*CAMPAIGN).where(col(CampaignTableRow.name) == escape(name))).one_or_none()
    return None if row is None else CampaignRow(*row)


def _rounds(connection: Connection, campaign: str, index: int | None = None) -> tuple[RoundRow, ...]:
    """All rounds, or the one with this index, each with its stages in order of start."""
    rounds = select(*ROUND).where(col(RoundTableRow.campaign) == campaign).order_by(col(RoundTableRow.index))
    stages = select(col(StageTableRow.round), *STAGE).where(col(StageTableRow.campaign) == campaign)
    if index is not None:
        rounds = rounds.where(col(RoundTableRow.index) == index)
        stages = stages.where(col(StageTableRow.round) == index)
    by_round: dict[int, list[StageRow]] = {}
    for round, *stage in connection.execute(stages.order_by(col(StageTableRow.round), col(StageTableRow.position))):
        by_round.setdefault(round, []).append(StageRow(*stage))
    return tuple(
        RoundRow(name, number, status, settings, commit, dirty, tuple(by_round.get(number, ())))
        for name, number, status, settings, commit, dirty in connection.execute(rounds)
    )


def _stage_key(campaign: str, round: int, name: str) -> tuple[Any, ...]:
    return (
        col(StageTableRow.campaign) == campaign,
        col(StageTableRow.round) == round,
        col(StageTableRow.name) == name,
    )


def _stage(connection: Connection, campaign: str, round: int, name: str) -> StageRow | None:
    row = connection.execute(select(*STAGE).where(*_stage_key(campaign, round, name))).one_or_none()
    return None if row is None else StageRow(*row)


def _num_stages(connection: Connection, campaign: str, round: int) -> int:
    if not _rounds(connection, campaign, round):
        raise Missing(f"the ledger holds no round {round} of campaign {campaign!r}; start it first")
    key = (col(StageTableRow.campaign) == campaign, col(StageTableRow.round) == round)
    return connection.scalar(select(func.count()).select_from(StageTableRow).where(*key)) or 0


def _plan(connection: Connection, key: str) -> tuple[tuple[str, ...], ...] | None:
    held = connection.scalar(select(col(PlanRow.batches)).where(col(PlanRow.key) == key))
    return None if held is None else tuple(tuple(batch) for batch in held)
