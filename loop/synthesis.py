"""The synthesize stage: new prompts where the models differ most, in two stages (arXiv 2605.15532) and a third source.

    seed-guided    new questions on the images of a region's seeds
    skill-guided   built on stage one's output, only questions that exercise a skill at which the student fails there
    new charts     questions on charts that a generator specifies, with answers computed from the data; off by default

Each: propose -> screen (well formed? new? uncontaminated?) -> Δ, teacher consistency, known answer -> admit or reject.
Admitted prompts join the pool when all are through; every candidate stays in the ledger with its fate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loop.ports import Ports, Wanted
from loop.scoring import score_prompts
from loop.screening import Draft, Screen
from loop.teacher_answers import known_answers_missed
from loop.work import Work
from policies.admission import admit
from store.records import Admitted, Aims, Candidate, Fate, Origin, Prompt, Region, Score, Spent, StageYield, Version

Grounds = Mapping[int, Sequence[Prompt]]
"""Region index -> the prompts that a stage builds on there."""


@dataclass(frozen=True)
class Stage:
    """What one source of candidates made of its budget."""

    candidates: tuple[Candidate, ...]
    scores: tuple[Score, ...]
    spent: Spent

    def ground(self, region: Region, otherwise: Sequence[Prompt]) -> Sequence[Prompt]:
        """This stage's usable prompts in a region, for the next stage to build on."""
        here = [row.prompt for row in self.candidates if row.region == region.index and row.delta is not None]
        return here or otherwise

    def counts(self) -> StageYield:
        """The yield, and what it is made of."""
        return StageYield(
            proposed=len(self.candidates),
            parsed=len(self.scores),
            delta_prompts=sum(not score.zero_delta for score in self.scores),
            admitted=sum(row.fate is Fate.ADMITTED for row in self.candidates),
        )


def synthesize(work: Work, student: Version, aims: Aims, ports: Ports) -> Admitted:
    """Run both stages, and the third source where it is wanted; admit what survives them."""
    screen = Screen(work, set(aims.assignment), ports)
    seeds: Grounds = {region.index: ports.ledger.prompts(region.seeds) for region in aims.regions}

    def make(origin: Origin, grounds: Grounds) -> Stage:
        drafts, spent = _propose(origin, work, aims, grounds, ports)
        return _filter(origin, drafts, spent, work, student, screen, ports)

    first = make(Origin.SEED_GUIDED, seeds)
    built_on = {region.index: first.ground(region, otherwise=seeds[region.index]) for region in aims.regions}
    stages = {Origin.SEED_GUIDED: first, Origin.SKILL_GUIDED: make(Origin.SKILL_GUIDED, built_on)}
    if work.settings.candidates(Origin.NEW_CHART):
        stages[Origin.NEW_CHART] = make(Origin.NEW_CHART, seeds)

    candidates = [row for stage in stages.values() for row in stage.candidates]
    scores = {score.prompt_id: score for stage in stages.values() for score in stage.scores}
    admitted = [row.prompt for row in candidates if row.fate is Fate.ADMITTED]
    ports.ledger.add_candidates(work.campaign, work.round, candidates)
    ports.ledger.add_prompts(admitted, pool=work.settings.pool.name)
    return Admitted(
        tuple(prompt.id for prompt in admitted),
        tuple(scores[prompt.id] for prompt in admitted),
        {origin: stage.counts() for origin, stage in stages.items()},
        Spent.total([stage.spent for stage in stages.values()]),
    )


def _propose(origin: Origin, work: Work, aims: Aims, grounds: Grounds, ports: Ports) -> tuple[list[Draft], Spent]:
    """Ask the synthesizer for all regions at once; only the seed-guided stage is not told the failure skills."""
    total, largest = work.settings.candidates(origin), max(work.settings.most_candidates(), 1)
    nums = {region.index: round(region.budget * total / largest) for region in aims.regions}
    regions = [region for region in aims.regions if nums[region.index] and grounds[region.index]]
    wanted = [
        Wanted(
            tuple(grounds[region.index]),
            nums[region.index],
            () if origin is Origin.SEED_GUIDED else region.skills,
            work.seed("synthesize", origin, region.index),
        )
        for region in regions
    ]
    proposed = ports.synthesizer.propose(work, origin, wanted)
    drafts = [
        Draft(Prompt.make(row.question, row.images, origin, row.parent, row.attributes), region.index, row.fault)
        for region, rows in zip(regions, proposed.proposals, strict=True)
        for row in rows
    ]
    return drafts, proposed.spent


def _filter(
    origin: Origin, drafts: Sequence[Draft], spent: Spent, work: Work, student: Version, screen: Screen, ports: Ports
) -> Stage:
    """Screen the drafts, score what passes, and decide each one's fate; `spent` is what the drafts have cost."""
    rejected, passed = screen.check(drafts, key=work.key("synthesize", origin, "embed"))
    prompts = [draft.prompt for draft in passed]
    ports.ledger.add_prompts(prompts)
    scores, sampled = score_prompts(work, student, prompts, ports, stage=f"synthesize/{origin}")
    contradictions = known_answers_missed(work, prompts, ports)
    judged = []
    for draft, score in zip(passed, scores, strict=True):
        fate, detail = admit(
            score,
            min_consistency=work.settings.synthesis.min_consistency,
            contradiction=contradictions.get(draft.prompt.id),
        )
        judged.append(Candidate(draft.prompt, fate, detail, draft.region, score.delta, score.consistency))
    return Stage((*rejected, *judged), scores, Spent.total([spent, sampled]))
