"""What the store can rebuild from the facts that it holds: indices, and room for embeddings that are computed again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sqlalchemy import delete, select
from sqlmodel import col

from store.database import chunks
from store.index import PoolIndex, index_name, unsound_indices
from store.ledger import Ledger
from store.references import read_rows
from store.tables import EmbeddingRow, PoolPromptRow


def rebuild_indices(ledger: Ledger, folder: Path) -> list[str]:
    """Remove the saved indices that are not sound, and rebuild them from the embeddings. A line for each."""
    unsound = unsound_indices(folder)
    if not unsound:
        return []
    with ledger.database.reading() as connection:
        pools = list(connection.scalars(select(col(PoolPromptRow.pool)).distinct()))
        embedders = list(connection.scalars(select(col(EmbeddingRow.embedder)).distinct()))
    done = []
    for name in unsound:
        for suffix in ("json", "faiss"):
            (folder / f"index-{name}.{suffix}").unlink(missing_ok=True)
        done.append(f"index {name}: removed; the next run builds it again")
        for pool, embedder in ((pool, embedder) for pool in pools for embedder in embedders):
            if index_name(pool, embedder) == name:
                vectors = ledger.embeddings(embedder, [prompt.id for prompt in ledger.pool(pool)])
                PoolIndex.open(folder, name, vectors).save()
                done[-1] = f"index {name}: rebuilt from {len(vectors)} embeddings"
    return done


def is_unit_vector(data: bytes) -> bool:
    """Whether bytes are a float32 vector of norm 1."""
    return len(data) > 0 and len(data) % 4 == 0 and abs(_norm(data) - 1) < 1e-3


def forget_broken_embeddings(ledger: Ledger) -> list[str]:
    """Remove embeddings that are no unit vectors: a run computes what is absent. A line for each embedder."""
    broken: dict[str, list[str]] = {}
    with ledger.database.reading() as connection:
        for embedder, id, data in read_rows(connection, EmbeddingRow, "embedder", "prompt_id", "vector"):
            if not is_unit_vector(data):
                broken.setdefault(embedder, []).append(id)
    for embedder, ids in broken.items():
        _forget(ledger, embedder, ids)
    return [
        f"{len(ids)} embedding(s) by {embedder!r}: removed; the next run computes them again"
        for embedder, ids in broken.items()
    ]


def _forget(ledger: Ledger, embedder: str, ids: Sequence[str]) -> None:
    with ledger.database.writing() as connection:
        for chunk in chunks(ids):
            which = (col(EmbeddingRow.embedder) == embedder, col(EmbeddingRow.prompt_id).in_(chunk))
            connection.execute(delete(EmbeddingRow).where(*which))


def _norm(data: bytes) -> float:
    return float(np.linalg.norm(np.frombuffer(data, dtype="<f4")))
