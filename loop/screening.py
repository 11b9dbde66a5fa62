"""Screening of drafts before any model is asked: well formed, new, and uncontaminated.

New is what no prompt of the pool and no draft of the round is: the same normalised question on the same images, or a
neighbour in the embedding space.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass

import numpy as np

from loop.embeddings import embed
from loop.ports import Ports
from loop.work import Work
from policies.admission import normalise_question, well_formed
from store.records import Candidate, Fate, Prompt

NEIGHBOURS = 8
"""How many index hits are looked at: the nearest may be prompts that an earlier attempt of this stage admitted."""


Text = tuple[tuple[str, ...], str]
"""Images and normalised question: what near-duplicates by text have in common."""


@dataclass(frozen=True)
class Draft:
    """A proposed prompt and the region it was asked for in."""

    prompt: Prompt
    region: int
    fault: str = ""
    """Why it is no question at all, where its maker says so."""


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
        self._texts: dict[Text, str] = {}
        """Prompt ids of the pool and the round, for all images that drafts have shown so far."""
        self._shown: set[tuple[str, ...]] = set()

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
        rejected, usable = [], []
        self._read_pool({draft.prompt.images for draft in drafts})
        for draft in drafts:
            prompt = draft.prompt
            fault = draft.fault or well_formed(prompt.question)
            if fault:
                rejected.append(Candidate(prompt, Fate.UNPARSED, fault, draft.region))
            elif (twin := self._texts.get(_text(prompt))) is not None:
                detail = f"same content as {twin[:12]}" if twin == prompt.id else f"same normalised text as {twin[:12]}"
                rejected.append(Candidate(prompt, Fate.DUPLICATE, detail, draft.region))
            elif (collision := self._ports.evaluator.contaminated(prompt)) is not None:
                rejected.append(Candidate(prompt, Fate.CONTAMINATED, f"held out as {collision[:12]}", draft.region))
            else:
                self._texts[_text(prompt)] = prompt.id
                usable.append(draft)
        return rejected, usable

    def _read_pool(self, images: Set[tuple[str, ...]]) -> None:
        """Remember what the pool asks about these images."""
        new = images - self._shown
        if not new:
            return
        self._shown |= new
        for prompt in self._ports.ledger.prompts(sorted(self._pool)):
            if prompt.images in new:
                self._texts.setdefault(_text(prompt), prompt.id)

    def _near_duplicate(self, vector: np.ndarray, near: Sequence[tuple[str, float]]) -> str | None:
        threshold = self._work.settings.synthesis.duplicate_cosine
        pool = ((id, cosine) for id, cosine in near if id in self._pool)
        round_ = ((id, float(vector @ other)) for id, other in self._seen.items())
        for id, cosine in (*pool, *round_):
            if cosine >= threshold:
                return f"cosine {cosine:.6f} to {id[:12]}"
        return None


def _text(prompt: Prompt) -> Text:
    return prompt.images, normalise_question(prompt.question)
