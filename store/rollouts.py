"""Rollouts: what a version answered to a prompt, under one sampling, sample by sample."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text, cast, func, literal, select, type_coerce
from sqlmodel import col

from store.columns import unescape
from store.database import Database, add, chunks, put, require
from store.records import Rollout
from store.tables import PromptRow, RolloutRow, VersionRow

SAMPLE: Any = [
    getattr(RolloutRow, name)
    for name in ("prompt_id", "index", "seed", "text", "status", "answer", "canonical", "num_tokens")
]
"""What differs between rollouts of one version under one sampling."""

GATHERED = "256MB"
"""What PostgreSQL may take to gather answers in memory: with its usual 4 MB it goes over the disk, twice as long."""


class Rollouts:
    """The part of the ledger that keeps samples; they are never paid for twice."""

    _database: Database

    def add_rollouts(self, rollouts: Sequence[Rollout]) -> None:
        """Store samples; one that is there already is kept. Missing (a KeyError) names an absent prompt or version."""
        with self._database.writing() as connection:
            require(connection, col(PromptRow.id), (row.prompt_id for row in rollouts), "prompt")
            require(connection, col(VersionRow.id), (row.version for row in rollouts), "version")
            add(connection, RolloutRow, [vars(row) for row in rollouts])

    def rollouts(
        self, version: str, sampling: str, ids: Sequence[str], *, texts: bool = True
    ) -> dict[str, tuple[Rollout, ...]]:
        """Rollouts of one version under one sampling, by prompt id, in order of index; those without any are absent.

        Without `texts` the responses stay in the database, and `text` is empty: for whoever counts answers of a pool.
        """
        wanted = [column if texts or column is not RolloutRow.text else literal("") for column in SAMPLE]
        found: dict[str, list[Rollout]] = {}
        with self._database.reading() as connection:
            for chunk in chunks(ids):
                statement = select(*wanted).where(
                    col(RolloutRow.version) == version,
                    col(RolloutRow.sampling) == sampling,
                    col(RolloutRow.prompt_id).in_(chunk),
                )
                order = (col(RolloutRow.prompt_id), col(RolloutRow.index))
                for id, *sample in connection.execute(statement.order_by(*order)).all():
                    rows = found.setdefault(id, [])
                    own = rows[0].prompt_id if rows else id  # one string a prompt, not one a row: a third of the memory
                    rows.append(Rollout(own, version, sampling, *sample))
        return {id: tuple(rows) for id, rows in found.items()}

    def samplings(self, version: str, beginning: str) -> tuple[str, ...]:
        """The samplings with this beginning under which a version has rollouts, in order; one look-up each."""
        found: list[str] = []
        with self._database.reading() as connection:
            while True:
                after = (col(RolloutRow.version) == version, col(RolloutRow.sampling) > (found or [beginning])[-1])
                sampling = connection.scalar(select(func.min(col(RolloutRow.sampling))).where(*after))
                if sampling is None or not sampling.startswith(beginning):
                    return tuple(found)
                found.append(sampling)

    def answer_counts(self, version: str, sampling: str, indices: range) -> dict[str, dict[str | None, int]]:
        """How often each canonical answer was given to each prompt; None counts the samples without an answer.

        `indices` are the samples that count. The database gathers the answers of each prompt, which lie side by side
        in its key; to let it count them would have it sort them first, three times slower.
        """
        which = (
            col(RolloutRow.version) == version,
            col(RolloutRow.sampling) == sampling,
            col(RolloutRow.index) >= indices.start,
            col(RolloutRow.index) < indices.stop,
        )
        answer = type_coerce(col(RolloutRow.canonical), Text)
        with self._database.reading() as connection:
            gather = func.json_group_array
            if connection.dialect.name == "postgresql":
                gather = func.json_agg
                connection.exec_driver_sql(f"SET LOCAL work_mem = '{GATHERED}'")
            statement = select(col(RolloutRow.prompt_id), cast(gather(answer), Text)).where(*which)
            rows = connection.execute(statement.group_by(col(RolloutRow.prompt_id)))
            return {id: _counted(json.loads(answers)) for id, answers in rows}

    def replace_rollouts(self, rollouts: Sequence[Rollout]) -> None:
        """Store samples instead of those that have their keys: for repairs."""
        with self._database.writing() as connection:
            put(connection, RolloutRow, [vars(row) for row in rollouts])

    def sampled(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """Each version with each sampling that it has rollouts under, and the ids of the prompts that have some."""
        found: dict[tuple[str, str], list[str]] = {}
        wanted = (col(RolloutRow.version), col(RolloutRow.sampling), col(RolloutRow.prompt_id))
        with self._database.reading() as connection:
            for version, sampling, id in connection.execute(select(*wanted).distinct().order_by(*wanted)):
                found.setdefault((version, sampling), []).append(id)
        return tuple((*key, tuple(ids)) for key, ids in found.items())


def _counted(answers: Sequence[str | None]) -> dict[str | None, int]:
    """How often each answer occurs, of answers as the database holds them."""
    return {None if answer is None else unescape(answer): num for answer, num in Counter(answers).items()}
