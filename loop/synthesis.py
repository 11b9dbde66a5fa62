"""The synthesize stage: new prompts where the models differ most, in two stages (arXiv 2605.15532).

    seed-guided    new questions on the images of a region's seeds
    skill-guided   built on stage one's output, only questions that exercise a skill at which the student fails there

Each stage: propose -> screen (well formed? new? uncontaminated?) -> Δ and teacher consistency -> admit or reject.
Admitted prompts join the pool when both stages are through; every candidate stays in the ledger with its fate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loop.ports import Ports
from loop.scoring import score_prompts
from loop.screening import Draft, Screen
from loop.work import Work
from policies.admission import admit
from store.records import Admitted, Aims, Candidate, Fate, Origin, Prompt, Region, Score, Spent, StageYield, Version

Grounds = Mapping[int, Sequence[Prompt]]
"""Region index -> the prompts that a stage builds on there."""


@dataclass(frozen=True)
class Stage:
    """What one of the two stages made of its budget."""

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
    """Run both stages, and admit what survives them."""
    screen = Screen(work, set(aims.assignment), ports)
    seeds: Grounds = {region.index: ports.ledger.prompts(region.seeds) for region in aims.regions}

    drafts = _propose(Origin.SEED_GUIDED, work, aims, seeds, ports)
    first = _filter(Origin.SEED_GUIDED, drafts, work, student, screen, ports)
    built_on = {region.index: first.ground(region, otherwise=seeds[region.index]) for region in aims.regions}
    drafts = _propose(Origin.SKILL_GUIDED, work, aims, built_on, ports)
    second = _filter(Origin.SKILL_GUIDED, drafts, work, student, screen, ports)

    candidates = (*first.candidates, *second.candidates)
    scores = {score.prompt_id: score for score in (*first.scores, *second.scores)}
    admitted = [row.prompt for row in candidates if row.fate is Fate.ADMITTED]
    ports.ledger.add_candidates(work.campaign, work.round, candidates)
    ports.ledger.add_prompts(admitted, pool=work.settings.pool.name)
    return Admitted(
        tuple(prompt.id for prompt in admitted),
        tuple(scores[prompt.id] for prompt in admitted),
        {Origin.SEED_GUIDED: first.counts(), Origin.SKILL_GUIDED: second.counts()},
        Spent.total([first.spent, second.spent]),
    )


def _propose(origin: Origin, work: Work, aims: Aims, grounds: Grounds, ports: Ports) -> list[Draft]:
    """Ask the synthesizer region by region; only the skill-guided stage is told the failure skills."""
    settings = work.settings.synthesis
    total = settings.seed_guided if origin is Origin.SEED_GUIDED else settings.skill_guided
    largest = max(settings.seed_guided, settings.skill_guided, 1)
    drafts = []
    for region in aims.regions:
        num = round(region.budget * total / largest)
        if not num or not grounds[region.index]:
            continue
        proposals = ports.synthesizer.propose(
            grounds[region.index],
            num,
            skills=region.skills if origin is Origin.SKILL_GUIDED else (),
            seed=work.seed("synthesize", origin, region.index),
        )
        drafts += [
            Draft(Prompt.make(row.question, row.images, origin, row.parent, row.attributes), region.index)
            for row in proposals
        ]
    return drafts


def _filter(
    origin: Origin, drafts: Sequence[Draft], work: Work, student: Version, screen: Screen, ports: Ports
) -> Stage:
    """Screen the drafts, score what passes, and decide each one's fate."""
    rejected, passed = screen.check(drafts, key=work.key("synthesize", origin, "embed"))
    prompts = [draft.prompt for draft in passed]
    ports.ledger.add_prompts(prompts)
    scores, spent = score_prompts(work, student, prompts, ports, stage=f"synthesize/{origin}")
    judged = []
    for draft, score in zip(passed, scores, strict=True):
        fate, detail = admit(score, min_consistency=work.settings.synthesis.min_consistency)
        judged.append(Candidate(draft.prompt, fate, detail, draft.region, score.delta, score.consistency))
    return Stage((*rejected, *judged), scores, spent)
