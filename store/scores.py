"""Scores, regions and candidates: what a round found out about its prompts, and what it made of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlmodel import col

from store.columns import byte_order
from store.database import Database, add, columns, put, require
from store.errors import Missing, Unstorable
from store.records import Aims, Candidate, Posterior, Prompt, Region, Score
from store.tables import CandidateRow, PromptRow, RegionRow, RoundTableRow, ScoreRow, VersionRow

SCORE: Any = columns(ScoreRow, Score)
NUMBERS = ("delta", "low", "high", "consistency", "student_agreement", "p_value", "noise_floor", "spread")
POSTERIOR: Any = [RegionRow.posterior_mean, RegionRow.posterior_variance, RegionRow.posterior_num]
REGION: Any = [RegionRow.index, RegionRow.size, *POSTERIOR, RegionRow.skills, RegionRow.budget, RegionRow.seeds]
CONTENT = ("question", "images", "origin", "parent", "attributes")
VERDICT = ("fate", "detail", "region", "delta", "consistency")
CANDIDATE: Any = [getattr(CandidateRow, name) for name in ("prompt_id", *CONTENT, *VERDICT)]


class Scores:
    """The part of the ledger that keeps what rounds measured and synthesised."""

    _database: Database

    def add_scores(self, campaign: str, round: int, scores: Sequence[Score]) -> None:
        """Record scores; a later attempt's replaces an earlier one's. Missing (a KeyError) names what is absent."""
        for score in scores:
            for name in NUMBERS:
                _require_finite(f"{name} of prompt {score.prompt_id}", getattr(score, name) or 0.0)
        with self._database.writing() as connection:
            _require_round(connection, campaign, round)
            require(connection, col(PromptRow.id), (score.prompt_id for score in scores), "prompt")
            require(
                connection, col(VersionRow.id), (id for row in scores for id in (row.student, row.teacher)), "version"
            )
            put(connection, ScoreRow, [vars(score) | {"campaign": campaign, "round": round} for score in scores])

    def replace_scores(self, campaign: str, round: int, scores: Sequence[Score]) -> None:
        """Record scores instead of all that a round has: for repairs."""
        with self._database.writing() as connection:
            _forget(connection, ScoreRow, campaign, round)
            put(connection, ScoreRow, [vars(score) | {"campaign": campaign, "round": round} for score in scores])

    def scores(self, campaign: str, round: int) -> tuple[Score, ...]:
        """The scores that a campaign's round recorded, in order of prompt id."""
        statement = select(*SCORE).where(col(ScoreRow.campaign) == campaign, col(ScoreRow.round) == round)
        with self._database.reading() as connection:
            scores = [Score(*row) for row in connection.execute(statement)]
        return tuple(sorted(scores, key=lambda score: score.prompt_id))

    def page_of_scores(self, campaign: str, round: int, after: str, limit: int) -> tuple[Score, ...]:
        """Those with prompt ids after one, in order of prompt id, `limit` at most."""
        statement = select(*SCORE).where(col(ScoreRow.campaign) == campaign, col(ScoreRow.round) == round)
        with self._database.reading() as connection:
            id = byte_order(col(ScoreRow.prompt_id), connection.dialect)
            rows = connection.execute(statement.where(id > after).order_by(id).limit(limit))
            return tuple(Score(*row) for row in rows)

    def add_aims(self, campaign: str, round: int, aims: Aims) -> None:
        """Record the regions of a round; a later attempt's replace an earlier one's."""
        rows = []
        for region in aims.regions:
            posterior = region.posterior
            _require_finite(
                f"the posterior of region {region.index}", posterior.mean, posterior.variance, posterior.num
            )
            rows.append(
                {
                    "campaign": campaign,
                    "round": round,
                    "index": region.index,
                    "size": region.size,
                    "posterior_mean": posterior.mean,
                    "posterior_variance": posterior.variance,
                    "posterior_num": posterior.num,
                    "skills": region.skills,
                    "budget": region.budget,
                    "seeds": region.seeds,
                    "centroids": aims.centroids,
                }
            )
        with self._database.writing() as connection:
            _require_round(connection, campaign, round)
            _forget(connection, RegionRow, campaign, round)
            add(connection, RegionRow, rows)

    def regions(self, campaign: str, round: int) -> tuple[Region, ...]:
        """The regions that a campaign's round recorded, in order of index; empty if it recorded none."""
        statement = select(*REGION).where(col(RegionRow.campaign) == campaign, col(RegionRow.round) == round)
        with self._database.reading() as connection:
            rows = connection.execute(statement.order_by(col(RegionRow.index))).all()
        return tuple(
            Region(index, size, Posterior(mean, variance, num), skills, budget, seeds)
            for index, size, mean, variance, num, skills, budget, seeds in rows
        )

    def add_candidates(self, campaign: str, round: int, candidates: Sequence[Candidate]) -> None:
        """Record all candidates of a round, in their order; a later attempt's replace an earlier one's."""
        rows = []
        for position, candidate in enumerate(candidates):
            _require_finite(
                f"delta or consistency of candidate {position}", candidate.delta or 0.0, candidate.consistency or 0.0
            )
            rows.append(
                {"campaign": campaign, "round": round, "position": position, "prompt_id": candidate.prompt.id}
                | {name: getattr(candidate.prompt, name) for name in CONTENT}
                | {name: getattr(candidate, name) for name in VERDICT}
            )
        with self._database.writing() as connection:
            _require_round(connection, campaign, round)
            _forget(connection, CandidateRow, campaign, round)
            add(connection, CandidateRow, rows)

    def candidates(self, campaign: str, round: int) -> tuple[Candidate, ...]:
        """The candidates that a campaign's round recorded, in their order."""
        statement = select(*CANDIDATE).where(col(CandidateRow.campaign) == campaign, col(CandidateRow.round) == round)
        split = 1 + len(CONTENT)
        with self._database.reading() as connection:
            rows = connection.execute(statement.order_by(col(CandidateRow.position))).all()
        return tuple(Candidate(Prompt(*row[:split]), *row[split:]) for row in rows)


def _require_round(connection: Connection, campaign: str, round: int) -> None:
    key = (col(RoundTableRow.campaign) == campaign, col(RoundTableRow.index) == round)
    if connection.scalar(select(col(RoundTableRow.index)).where(*key)) is None:
        raise Missing(f"the ledger holds no round {round} of campaign {campaign!r}; start it first")


def _require_finite(what: str, *values: float) -> None:
    for value in values:
        if not math.isfinite(value):
            raise Unstorable(f"{what} is {value}, which the ledger cannot keep; find out where it became that")


def _forget(connection: Connection, row: type[RegionRow | CandidateRow | ScoreRow], campaign: str, round: int) -> None:
    connection.execute(delete(row).where(col(row.campaign) == campaign, col(row.round) == round))
