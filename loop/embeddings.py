"""Embeddings of prompts: computed once, kept in the ledger, findable through the index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loop.ports import Ports
from store.records import Prompt


def embed(prompts: Sequence[Prompt], ports: Ports, *, batch: int, key: str) -> NDArray[np.float32]:
    """Unit vectors [n, d], in the order of the prompts; `key` names the plan of what has to be computed."""
    ledger, embedder = ports.ledger, ports.embedder
    by_id = {prompt.id: prompt for prompt in prompts}
    held = ledger.embeddings(embedder.name, list(by_id))
    plan = ledger.find_plan(key)
    if plan is None:
        missing = sorted(by_id.keys() - held.keys())
        plan = tuple(tuple(missing[start : start + batch]) for start in range(0, len(missing), batch))
        ledger.add_plan(key, plan)
    with ports.progress.bar("embeddings", sum(map(len, plan))) as advance:
        for ids in plan:
            if not all(id in held for id in ids):
                vectors = dict(zip(ids, embedder.embed([by_id[id] for id in ids]), strict=True))
                ledger.add_embeddings(embedder.name, vectors)
                held |= vectors
            advance(len(ids))
    return np.stack([held[prompt.id] for prompt in prompts])
