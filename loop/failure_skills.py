"""Failure skills: in a few words, what the student lacks in each region.

    attributes   the `skill` of the region's prompts, worst mean Δ first                    where nobody names them
    a namer      prompts of large Δ -> contrast (question, teacher's majority answer, student's wrong responses)
                 -> a name each -> names that mean the same are merged -> by summed Δ, then the last round's names

A region without any of its own gets the worst ones of all regions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loop.embeddings import embed
from loop.ports import Contrast, Ports, SkillNamer
from loop.rollouts import drawing_of, held_rollouts
from loop.teacher_answers import teacher_answers
from loop.work import Work
from policies.divergence import answer_class
from policies.regions import failure_skills
from policies.skills import merge, rank
from store.records import Aims, Origin, Prompt, Scores, Spent, digest_of

MAX_RESPONSES = 3
"""Wrong responses of the student that a contrast shows."""


@dataclass(frozen=True)
class Scored:
    """The pool as the current student sees it, cut into regions."""

    prompts: Sequence[Prompt]
    scores: Scores
    """Aligned with the prompts."""
    labels: NDArray[np.int64]
    """Region [n] of each prompt."""
    num_regions: int

    def members(self, region: int) -> list[int]:
        """The rows of a region."""
        rows: list[int] = np.flatnonzero(self.labels == region).tolist()
        return rows


@dataclass(frozen=True)
class FailureSkills:
    """What the student lacks."""

    by_region: tuple[tuple[str, ...], ...]
    """Worst first; by region index."""
    contrasts: int = 0
    named: int = 0
    spent: Spent = field(default_factory=Spent)


def find_failure_skills(work: Work, scored: Scored, before: Aims | None, ports: Ports) -> FailureSkills:
    """At most `synthesis.skills_per_region` skills of each region; `before` are the aims of the last round."""
    if ports.skill_namer is None:
        return _by_attributes(work, scored)
    return _by_namer(work, scored, before, ports.skill_namer, ports)


def _by_attributes(work: Work, scored: Scored) -> FailureSkills:
    num = work.settings.synthesis.skills_per_region
    skills = [prompt.attributes.get("skill", "") for prompt in scored.prompts]
    deltas = np.array([score.delta for score in scored.scores.scores])
    overall = failure_skills(skills, deltas, num)
    rows = [scored.members(region) for region in range(scored.num_regions)]
    return FailureSkills(
        tuple(failure_skills([skills[row] for row in own], deltas[own], num) or overall for own in rows)
    )


def _by_namer(work: Work, scored: Scored, before: Aims | None, namer: SkillNamer, ports: Ports) -> FailureSkills:
    num, regions = work.settings.synthesis.skills_per_region, range(scored.num_regions)
    kept = [before.regions[region].skills if before is not None else () for region in regions]
    rows = [_worst(work, scored, region) for region in regions]
    contrasts = _contrasts(work, scored, [row for own in rows for row in own], ports)
    order = sorted(contrasts)
    named = namer.name_skills(work, [contrasts[row] for row in order])
    name_of = {row: name for row, name in zip(order, named.skills, strict=True) if name}
    stands_for = _merged([name for own in kept for name in own], list(name_of.values()), work, ports)

    total: defaultdict[str, float] = defaultdict(float)
    weights = [defaultdict[str, float](float) for _ in regions]
    for row, name in name_of.items():
        for counter in (weights[int(scored.labels[row])], total):
            counter[stands_for[name]] += scored.scores.scores[row].delta
    overall = rank(total, (), num)
    return FailureSkills(
        tuple(rank(weights[region], kept[region], num) or overall for region in regions),
        len(order),
        len(name_of),
        named.spent,
    )


def _worst(work: Work, scored: Scored, region: int) -> list[int]:
    """The rows of a region from which a skill may be named: measured to differ, of the largest Δ."""
    scores = scored.scores.scores
    rows = [row for row in scored.members(region) if not scores[row].zero_delta and not scores[row].predicted]
    rows.sort(key=lambda row: (-scores[row].delta, scores[row].prompt_id))
    return rows[: work.settings.generation.contrasts]


def _contrasts(work: Work, scored: Scored, rows: Sequence[int], ports: Ports) -> dict[int, Contrast]:
    """The contrast of each row, where the teacher has an answer and the student has others."""
    by_id = {scored.prompts[row].id: row for row in rows}
    student = ports.ledger.version(scored.scores.student)
    wanted = dict.fromkeys(by_id, work.settings.scoring.student_samples)
    tried = held_rollouts(drawing_of(work, student, wanted, key=""), ports)
    contrasts = {}
    for id, said in teacher_answers(work, by_id, ports).items():
        wrong = list(dict.fromkeys(one.text for one in tried[id] if answer_class(one) != said.form))
        if wrong:
            contrasts[by_id[id]] = Contrast(scored.prompts[by_id[id]], said.text, tuple(wrong[:MAX_RESPONSES]))
    return contrasts


def _merged(kept: Sequence[str], new: Sequence[str], work: Work, ports: Ports) -> dict[str, str]:
    """The name that stands for each name; those of the last round stay, then the most frequent one leads."""
    frequent = [name for name, _ in sorted(Counter(new).items(), key=lambda item: (-item[1], item[0]))]
    names = list(dict.fromkeys([*kept, *frequent]))
    if not names:
        return {}
    texts = [Prompt.make(name, (), Origin.INSTRUCTION, attributes={"skill": name}) for name in names]
    key = work.key("target", "skills", digest_of(names)[:16])
    vectors = embed(texts, ports, batch=work.settings.embedding.batch, key=key)
    return merge(names, vectors, cosine=work.settings.generation.merge_cosine)
