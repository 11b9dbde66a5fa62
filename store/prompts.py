"""Prompts, the pools they are in, what was quarantined, and their embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Text, func, select, type_coerce
from sqlmodel import col

from store.columns import byte_order
from store.database import Database, add, chunks, columns, now, require
from store.errors import Missing, Unstorable
from store.records import Prompt, Quarantined
from store.tables import EmbeddingRow, PoolPromptRow, PromptRow, QuarantineRow

PROMPT: Any = columns(PromptRow, Prompt)
QUARANTINED: Any = columns(QuarantineRow, Quarantined)


class Prompts:
    """The part of the ledger that tells which prompts there are."""

    _database: Database

    def add_prompts(self, prompts: Sequence[Prompt], *, pool: str | None = None) -> int:
        """Store prompts, and put them into a pool if one is named; returns how many of them were new to the pool.

        A prompt that is there already keeps its first origin, parent and attributes. Without a pool: returns how many
        were new to the ledger. Missing (a KeyError) if a parent is neither there nor among the prompts.
        """
        created, ids = now(), {prompt.id for prompt in prompts}
        with self._database.writing() as connection:
            parents = {prompt.parent for prompt in prompts if prompt.parent is not None}
            require(connection, col(PromptRow.id), sorted(parents - ids), "parent prompt")
            new = add(connection, PromptRow, [vars(prompt) | {"created": created} for prompt in prompts])
            if pool is None:
                return new
            return add(connection, PoolPromptRow, [{"pool": pool, "prompt_id": prompt.id} for prompt in prompts])

    def quarantine(self, pool: str, rows: Sequence[Quarantined]) -> None:
        """Record prompts that could not be taken; a source that is recorded already keeps its first reason."""
        with self._database.writing() as connection:
            add(connection, QuarantineRow, [vars(row) | {"pool": pool} for row in rows])

    def quarantined(self, pool: str) -> tuple[Quarantined, ...]:
        """What a pool could not take, in order of recording."""
        statement = select(*QUARANTINED).where(col(QuarantineRow.pool) == pool).order_by(col(QuarantineRow.id))
        with self._database.reading() as connection:
            return tuple(Quarantined(*row) for row in connection.execute(statement))

    def pool(self, pool: str) -> tuple[Prompt, ...]:
        """All prompts of a pool, in order of id."""
        statement = (
            select(*PROMPT)
            .join(PoolPromptRow, col(PoolPromptRow.prompt_id) == col(PromptRow.id))
            .where(col(PoolPromptRow.pool) == pool)
        )
        with self._database.reading() as connection:
            prompts = [Prompt(*row) for row in connection.execute(statement)]
        return tuple(sorted(prompts, key=lambda prompt: prompt.id))  # not in SQL: collations differ between databases

    def pool_size(self, pool: str) -> tuple[int, int]:
        """How many prompts a pool has, and how many characters their questions and attributes."""
        text = func.length(col(PromptRow.question)) + func.length(type_coerce(col(PromptRow.attributes), Text))
        statement = (
            select(func.count(), func.coalesce(func.sum(text), 0))
            .select_from(PromptRow)
            .join(PoolPromptRow, col(PoolPromptRow.prompt_id) == col(PromptRow.id))
            .where(col(PoolPromptRow.pool) == pool)
        )
        with self._database.reading() as connection:
            num, characters = connection.execute(statement).one()
        return int(num), int(characters)

    def page_of_pool(self, pool: str, after: str, limit: int) -> tuple[Prompt, ...]:
        """The prompts of a pool with ids after one, in order of id, `limit` at most."""
        member = col(PoolPromptRow.prompt_id)
        with self._database.reading() as connection:
            id = byte_order(member, connection.dialect)
            ids = select(member).where(col(PoolPromptRow.pool) == pool, id > after).order_by(id).limit(limit)
            rows = connection.execute(select(*PROMPT).where(col(PromptRow.id).in_(ids)))
            return tuple(sorted((Prompt(*row) for row in rows), key=lambda prompt: prompt.id))

    def prompts(self, ids: Sequence[str]) -> tuple[Prompt, ...]:
        """The prompts with these ids, in this order. Missing (a KeyError) names the first one that is not there."""
        found: dict[str, Prompt] = {}
        with self._database.reading() as connection:
            for chunk in chunks(ids):
                rows = connection.execute(select(*PROMPT).where(col(PromptRow.id).in_(chunk)))
                found |= {row[0]: Prompt(*row) for row in rows}
        for id in ids:
            if id not in found:
                raise Missing(f"the ledger holds no prompt {id!r}; import it first, or correct the id")
        return tuple(found[id] for id in ids)

    def embeddings(self, embedder: str, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The float32 [d] vectors that exist, by prompt id; read-only arrays."""
        found: dict[str, NDArray[np.float32]] = {}
        statement = select(col(EmbeddingRow.prompt_id), col(EmbeddingRow.vector))
        with self._database.reading() as connection:
            for chunk in chunks(ids):
                where = (col(EmbeddingRow.embedder) == embedder, col(EmbeddingRow.prompt_id).in_(chunk))
                for id, data in connection.execute(statement.where(*where)):
                    found[id] = np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)
        return found

    def dimension(self, embedder: str) -> int | None:
        """Of the vectors that an embedder made; None if it has made none."""
        with self._database.reading() as connection:
            data = connection.scalar(
                select(col(EmbeddingRow.vector)).where(col(EmbeddingRow.embedder) == embedder).limit(1)
            )
        return None if data is None else len(data) // 4

    def add_embeddings(self, embedder: str, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Store vectors; one that is there already is kept. Unstorable names a vector that is not finite."""
        rows = []
        for id, vector in vectors.items():
            if not np.isfinite(vector).all():
                raise Unstorable(
                    f"the embedding of prompt {id} by {embedder!r} holds NaN or infinity; check the embedder"
                )
            data = np.ascontiguousarray(vector, dtype="<f4").tobytes()
            rows.append({"embedder": embedder, "prompt_id": id, "vector": data})
        with self._database.writing() as connection:
            add(connection, EmbeddingRow, rows)
