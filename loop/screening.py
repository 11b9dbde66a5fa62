"""Screening of drafts before any model is asked: well formed, new, and uncontaminated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from loop.embeddings import embed
from loop.ports import Ports
from loop.work import Work
from policies.admission import well_formed
from store.records import Candidate, Fate, Prompt

NEIGHBOURS = 8
"""How many index hits are looked at: the nearest may be prompts that an earlier attempt of this stage admitted."""


@dataclass(frozen=True)
class Draft:
    """A proposed prompt and the region it was asked for in."""

    prompt: Prompt
    region: int


class Screen:
    """Remembers what this round has seen, on top of the pool as it stood when the round scored it.

    The pool of the ledger is not asked: an interrupted attempt may have admitted prompts to it already, and these must
    not turn into duplicates of themselves.
    """

    def __init__(self, work: Work, pool: Collection[str], ports: Ports) -> None:
        self._work = work
        self._pool = pool
        self._ports = ports
        self._seen: dict[str, np.ndarray] = {}

    def check(self, drafts: Sequence[Draft], *, key: str) -> tuple[list[Candidate], list[Draft]]:
        """Rejected candidates with their reasons, and the drafts that pass; `key` names the plan of the embeddings."""
        rejected, usable = self._cheap_checks(drafts)
        if not usable:
            return rejected, []
        batch = self._work.settings.embedding.batch
        vectors = embed([draft.prompt for draft in usable], self._ports, batch=batch, key=key)
        hits = self._ports.index.nearest(vectors, NEIGHBOURS)
        passed = []
        for draft, vector, near in zip(usable, vectors, hits, strict=True):
            twin = self._near_duplicate(vector, near)
            if twin is not None:
                rejected.append(Candidate(draft.prompt, Fate.DUPLICATE, twin, draft.region))
                continue
            self._seen[draft.prompt.id] = vector
            passed.append(draft)
        return rejected, passed

    def _cheap_checks(self, drafts: Sequence[Draft]) -> tuple[list[Candidate], list[Draft]]:
        rejected, usable, ids = [], [], set(self._seen)
        for draft in drafts:
            prompt = draft.prompt
            fault = well_formed(prompt.question)
            if fault is not None:
                rejected.append(Candidate(prompt, Fate.UNPARSED, fault, draft.region))
            elif prompt.id in self._pool or prompt.id in ids:
                rejected.append(Candidate(prompt, Fate.DUPLICATE, f"same content as {prompt.id[:12]}", draft.region))
            elif (collision := self._ports.evaluator.contaminated(prompt)) is not None:
                rejected.append(Candidate(prompt, Fate.CONTAMINATED, f"held out as {collision[:12]}", draft.region))
            else:
                ids.add(prompt.id)
                usable.append(draft)
        return rejected, usable

    def _near_duplicate(self, vector: np.ndarray, near: Sequence[tuple[str, float]]) -> str | None:
        threshold = self._work.settings.synthesis.duplicate_cosine
        pool = ((id, cosine) for id, cosine in near if id in self._pool)
        round_ = ((id, float(vector @ other)) for id, other in self._seen.items())
        for id, cosine in (*pool, *round_):
            if cosine >= threshold:
                return f"cosine {cosine:.6f} to {id[:12]}"
        return None
