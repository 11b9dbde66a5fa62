"""The embedded synthesizer: new questions on the images of seeds, written by the world's question generators.

    seed prompt -> its scene -> a family that the scene admits -> a question that was not asked yet -> Proposal

Seed-guided proposals draw the family uniformly among those that the scene admits, so their yield is that of undirected
question writing; skill-guided ones draw among the families of the given skills. Seeds from easy-vqa have no scene:
their images are asked other questions of that set, whose answers nobody here needs to know. Seeds without a scene that
come from elsewhere are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from loop.ports import Proposal, Proposed, Wanted
from loop.work import Work
from loop.world import easy_vqa
from loop.world.questions import FAMILIES, ask, families_of
from loop.world.scenes import Scene, from_json
from store.records import Origin, Prompt, prompt_id

EASY_VQA = "easy_vqa"
MAX_IDLE_PASSES = 8
"""Passes over all seeds without anything new after which there are no more ideas."""


class ProceduralSynthesizer:
    """Implements `loop.ports.Synthesizer` for prompts of the embedded world."""

    def propose(self, work: Work, origin: Origin, wanted: Sequence[Wanted]) -> Proposed:
        """Questions that the skills alone decide; see `write`."""
        return Proposed(tuple(self.write(one.seeds, one.num, skills=one.skills, seed=one.seed) for one in wanted))

    def write(
        self, seeds: Sequence[Prompt], num: int, *, skills: Sequence[str] = (), seed: int
    ) -> tuple[Proposal, ...]:
        """At most `num` proposals, each new to the call and to its seeds, spread evenly over the seeds that serve."""
        rng = np.random.default_rng(seed)
        grounds = [ground for prompt in seeds if (ground := _Ground(prompt, skills)).families]
        seen = {prompt.id for prompt in seeds}
        proposals: list[Proposal] = []
        idle = 0
        while grounds and len(proposals) < num and idle < MAX_IDLE_PASSES:
            before = len(proposals)
            for index in rng.permutation(len(grounds)).tolist():
                proposal = _first_new(grounds[index].ideas(rng), seen)
                if proposal is not None and len(proposals) < num:
                    seen.add(prompt_id(proposal.question, proposal.images))
                    proposals.append(proposal)
            idle = 0 if len(proposals) > before else idle + 1
        return tuple(proposals)


class NoSynthesizer:
    """Proposes nothing: `synthesis.synthesizer = "none"`."""

    def propose(self, work: Work, origin: Origin, wanted: Sequence[Wanted]) -> Proposed:
        """Out of ideas from the start."""
        return Proposed(((),) * len(wanted))


class _Ground:
    """A seed and the families that it can be asked under the given skills (all, if none are given)."""

    def __init__(self, prompt: Prompt, skills: Sequence[str]) -> None:
        self._prompt = prompt
        text = prompt.attributes.get("scene", "")
        self._scene: Scene | None = from_json(text) if text else None
        admitted: tuple[str, ...] = ()
        if self._scene is not None:
            admitted = families_of(self._scene)
        elif prompt.attributes.get("family") == EASY_VQA:
            admitted = (EASY_VQA,)
        self.families = tuple(name for name in admitted if not skills or FAMILIES[name].skill in skills)

    def ideas(self, rng: np.random.Generator) -> Iterator[Proposal]:
        """One question of each family that the scene admits, in random order."""
        for index in rng.permutation(len(self.families)).tolist():
            name = self.families[index]
            if self._scene is None:
                texts = _easy_vqa_texts()
                yield self._proposal(name, texts[int(rng.integers(len(texts)))])
            elif (question := ask(self._scene, name, rng)) is not None:
                yield self._proposal(name, question.text)

    def _proposal(self, name: str, text: str) -> Proposal:
        family, attributes = FAMILIES[name], dict(self._prompt.attributes)
        attributes |= {"domain": family.domain, "family": name, "skill": family.skill}
        return Proposal(text, self._prompt.images, self._prompt.id, attributes)


def _first_new(ideas: Iterator[Proposal], seen: set[str]) -> Proposal | None:
    return next((idea for idea in ideas if prompt_id(idea.question, idea.images) not in seen), None)


@cache
def _easy_vqa_texts() -> tuple[str, ...]:
    """Every question that easy-vqa asks of its pool pictures: its closed vocabulary."""
    return tuple(sorted({drawn.question.text for drawn in easy_vqa.pool_questions()}))
