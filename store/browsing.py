"""What people look at: pages, counts and lineages, each read in milliseconds from a ledger of millions of rollouts.

Every query is answered by a key or an index: pages go on after the last key that was shown (no OFFSET), and no query
looks at all rollouts. Words are looked for by `store.searching`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, collate, func, select
from sqlmodel import col

from store.columns import byte_order, escape
from store.database import Database, chunks
from store.prompts import PROMPT
from store.records import (
    AnswerCount,
    Candidate,
    DeltaHistogram,
    Fate,
    FateCount,
    PlacedCandidate,
    Prompt,
    PromptFilter,
    RoundScore,
    Score,
    ScoredPrompt,
)
from store.scores import CANDIDATE, CONTENT, SCORE
from store.searching import chunks_of_found, found_condition, typed_words
from store.tables import CandidateRow, PromptRow, RolloutRow, ScoreRow

MAX_ANCESTORS = 32
"""A lineage is as long as there were stages of synthesis; a longer one is shown in part."""

BINS = 20


class Browsing:
    """The part of the ledger that pages read."""

    _database: Database

    def page_of_scored(
        self, campaign: str, round: int, wanted: PromptFilter, after: str, limit: int
    ) -> tuple[ScoredPrompt, ...]:
        """The wanted prompts that a round scored, those after one id, `limit` at most.

        In order of id; where words are looked for, in an order that the database keeps to.
        """
        statement = (
            select(*PROMPT, *SCORE)
            .join(PromptRow, col(PromptRow.id) == col(ScoreRow.prompt_id))
            .where(col(ScoreRow.campaign) == campaign, col(ScoreRow.round) == round, *_conditions(wanted))
        )
        words = typed_words(wanted.words)
        if wanted.words.strip() and not words:
            return ()  # only signs were typed
        with self._database.reading() as connection:
            if words and not self._database.is_postgresql:
                return _found_by_words(connection, statement, words, after, limit)
            id = order = byte_order(col(ScoreRow.prompt_id), connection.dialect)
            is_rare = wanted.origin is not None
            if words:
                found, are_few = found_condition(connection, words)
                statement, is_rare = statement.where(found), is_rare or are_few
            if is_rare and self._database.is_postgresql:
                # In the order of an index it would go through the round until a page is full, which it never is.
                order = collate(col(ScoreRow.prompt_id) + "", "C")
            return _scored(connection.execute(statement.where(id > escape(after)).order_by(order).limit(limit)))

    def scores_of(self, campaign: str, round: int, ids: Sequence[str]) -> dict[str, Score]:
        """The scores of some prompts in a round, by prompt id; absent where there is none."""
        where = (col(ScoreRow.campaign) == campaign, col(ScoreRow.round) == round)
        found: dict[str, Score] = {}
        with self._database.reading() as connection:
            for chunk in chunks(ids):
                rows = connection.execute(select(*SCORE).where(*where, col(ScoreRow.prompt_id).in_(chunk)))
                found |= {row.prompt_id: Score(*row) for row in rows}
        return found

    def deltas(self, campaign: str, round: int) -> dict[str, float]:
        """The Δ of every prompt that a round scored, by prompt id, in order of id."""
        statement = select(col(ScoreRow.prompt_id), col(ScoreRow.delta))
        where = (col(ScoreRow.campaign) == campaign, col(ScoreRow.round) == round)
        with self._database.reading() as connection:
            id = byte_order(col(ScoreRow.prompt_id), connection.dialect)
            return {row[0]: row[1] for row in connection.execute(statement.where(*where).order_by(id))}

    def delta_histogram(self, campaign: str, round: int) -> DeltaHistogram | None:
        """How Δ is distributed over what a round scored; None if it scored nothing."""
        statement = select(col(ScoreRow.delta), col(ScoreRow.zero_delta))
        with self._database.reading() as connection:
            rows = connection.execute(
                statement.where(col(ScoreRow.campaign) == campaign, col(ScoreRow.round) == round)
            ).all()
        if not rows:
            return None
        deltas = np.array([row.delta for row in rows])
        zero = np.array([row.zero_delta for row in rows], dtype=bool)
        edges = np.linspace(0.0, max(float(deltas.max()), 1e-3), BINS + 1)
        counts, _ = np.histogram(deltas[~zero], edges)
        return DeltaHistogram(tuple(map(float, edges)), tuple(map(int, counts)), int(zero.sum()))

    # one prompt
    def lineage(self, id: str) -> tuple[Prompt, ...]:
        """A prompt's ancestors, the seed first, and itself last; empty if there is no such prompt."""
        chain: list[Prompt] = []
        next_id: str | None = id
        with self._database.reading() as connection:
            while next_id is not None and len(chain) < MAX_ANCESTORS:
                row = connection.execute(select(*PROMPT).where(col(PromptRow.id) == next_id)).one_or_none()
                if row is None:
                    break
                chain.append(Prompt(*row))
                next_id = chain[-1].parent
        return tuple(reversed(chain))

    def children(self, id: str, limit: int) -> tuple[Prompt, ...]:
        """Prompts that were synthesised from one, in order of id, `limit` at most."""
        with self._database.reading() as connection:
            statement = select(*PROMPT).where(col(PromptRow.parent) == id)
            rows = connection.execute(
                statement.order_by(byte_order(col(PromptRow.id), connection.dialect)).limit(limit)
            )
            return tuple(Prompt(*row) for row in rows)

    def history(self, id: str) -> tuple[RoundScore, ...]:
        """All scores of a prompt, by campaign and round."""
        statement = select(col(ScoreRow.campaign), col(ScoreRow.round), *SCORE).where(col(ScoreRow.prompt_id) == id)
        with self._database.reading() as connection:
            rows = [RoundScore(row[0], row[1], Score(*row[2:])) for row in connection.execute(statement)]
        return tuple(sorted(rows, key=lambda row: (row.campaign, row.round)))

    def answers(self, id: str, versions: Sequence[str]) -> tuple[AnswerCount, ...]:
        """How often each version gave which answer to a prompt, by version and sampling, the most frequent first."""
        answer, status = col(RolloutRow.canonical), col(RolloutRow.status)
        found: list[AnswerCount] = []
        with self._database.reading() as connection:
            for version in dict.fromkeys(versions):
                for sampling in _samplings(connection, version):
                    key = (col(RolloutRow.version) == version, col(RolloutRow.sampling) == sampling)
                    statement = select(answer, status, func.count()).where(*key, col(RolloutRow.prompt_id) == id)
                    rows = connection.execute(statement.group_by(answer, status)).all()
                    counts = [AnswerCount(version, sampling, *row) for row in rows]
                    found += sorted(counts, key=lambda count: (-count.num, count.answer or ""))
        return tuple(found)

    # candidates
    def fates(self, campaign: str) -> tuple[FateCount, ...]:
        """How many candidates met which fate, by round."""
        keys = (col(CandidateRow.round), col(CandidateRow.fate))
        statement = select(*keys, func.count()).where(col(CandidateRow.campaign) == campaign).group_by(*keys)
        with self._database.reading() as connection:
            rows = [FateCount(*row) for row in connection.execute(statement)]
        return tuple(sorted(rows, key=lambda row: (row.round, row.fate)))

    def page_of_candidates(
        self, campaign: str, round: int, fate: Fate | None, after: int, limit: int
    ) -> tuple[PlacedCandidate, ...]:
        """Candidates of a round at places after one, in order, `limit` at most; of one fate, or rejected for any."""
        place = col(CandidateRow.position)
        held = col(CandidateRow.fate)
        return self._candidates(
            (col(CandidateRow.campaign) == campaign, col(CandidateRow.round) == round, place > after),
            (held != Fate.ADMITTED) if fate is None else (held == fate),
            limit=limit,
        )

    def candidacies(self, id: str) -> tuple[PlacedCandidate, ...]:
        """When a prompt was a candidate."""
        return self._candidates((col(CandidateRow.prompt_id) == id,), limit=MAX_ANCESTORS)

    def _candidates(self, key: tuple[Any, ...], *conditions: Any, limit: int) -> tuple[PlacedCandidate, ...]:
        place = (col(CandidateRow.campaign), col(CandidateRow.round), col(CandidateRow.position))
        statement = select(*place, *CANDIDATE).where(*key, *conditions).order_by(*place).limit(limit)
        split = len(place) + 1 + len(CONTENT)
        with self._database.reading() as connection:
            return tuple(
                PlacedCandidate(row[0], row[1], row[2], Candidate(Prompt(*row[3:split]), *row[split:]))
                for row in connection.execute(statement)
            )


def _found_by_words(
    connection: Connection, statement: Select[Any], words: list[str], after: str, limit: int
) -> tuple[ScoredPrompt, ...]:
    """The first rows of a statement whose prompts hold the words, in the order in which SQLite finds them."""
    found: list[ScoredPrompt] = []
    for ids in chunks_of_found(connection, words, after):
        rows = _scored(connection.execute(statement.where(col(ScoreRow.prompt_id).in_(ids))))
        places = {id: place for place, id in enumerate(ids)}
        found += sorted(rows, key=lambda row: places[row.prompt.id])
        if len(found) >= limit:
            break
    return tuple(found[:limit])


def _scored(rows: Iterable[Any]) -> tuple[ScoredPrompt, ...]:
    split = len(PROMPT)
    return tuple(ScoredPrompt(Prompt(*row[:split]), Score(*row[split:])) for row in rows)


def _conditions(wanted: PromptFilter) -> Iterator[Any]:
    if wanted.origin is not None:
        yield col(PromptRow.origin) == wanted.origin
    if wanted.zero_delta is not None:
        yield col(ScoreRow.zero_delta).is_(wanted.zero_delta)
    if wanted.min_delta is not None:
        yield col(ScoreRow.delta) >= wanted.min_delta


def _samplings(connection: Connection, version: str) -> Iterator[str]:
    """The samplings of a version: a step along the key for each, where DISTINCT would read all its rollouts."""
    sampling = col(RolloutRow.sampling)
    last = ""
    while True:
        statement = select(func.min(sampling)).where(col(RolloutRow.version) == version, sampling > last)
        found = connection.scalar(statement)
        if found is None:
            return
        yield found
        last = found
