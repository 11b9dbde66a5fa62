r"""What a campaign file will cost, told before anything is spent: `deltaloop plan`.

    settings -> asked_of -> Asked \
    pool     -> probe    -> Rates  -> policies.planning.plan -> costs by round, of the pool as it is and of larger ones
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from loop.config import CampaignSettings
from loop.memory import gib, model_size
from loop.pool_memory import Pool, allowed_bytes, dimension_of, fit_line, samples_of
from loop.ports import Evaluator, Ports
from loop.probe import ANSWER_BYTES, PROMPT_BYTES, PROMPTS, REPLY_TOKENS, ROW_BYTES, SCORE_BYTES, Probed, probe
from loop.status import table_of
from policies.planning import Asked, Cost, Lengths, Plan, Rates, Shares, Sizes, Speed, Speeds, plan
from store.errors import DeltaloopError
from store.records import Origin, Prompt, Quarantined, Version, canonical_json, derive_seed

SCALES = (200_000, 10_000_000)
"""Sizes of the pool for which the plan is told again."""
MLFLOW_COPIES_BYTES = 64 * 2**20
"""A checkpoint up to this size is copied into MLflow's artifacts too."""
HOUR_S = 3600.0
CHARACTERS = 4
"""Of a token, where no response has been seen."""
PROMPT_CHARACTERS = 200
"""Of a question and its attributes, where none has been seen."""


@dataclass(frozen=True)
class Given:
    """What the user says, rather than have it measured. With all of it, no model is touched."""

    prompts: int | None = None
    """Of the pool; counted by reading the source if left out."""
    tokens: float | None = None
    """Of a response, of either model."""
    teacher_rate: float | None = None
    """Tokens per second, like the next two."""
    student_rate: float | None = None
    train_rate: float | None = None

    def probed(self, settings: CampaignSettings) -> Probed | None:
        """What a probe would have found; None if some of it is to be measured."""
        if None in (self.prompts, self.tokens, self.teacher_rate, self.student_rate, self.train_rate):
            return None
        length, no_time = self.tokens or 0.0, Speed()
        lengths = _lengths(length, REPLY_TOKENS * settings.generation.questions)
        sizes = Sizes(ROW_BYTES + CHARACTERS * length, PROMPT_BYTES, SCORE_BYTES, ANSWER_BYTES, _weights(settings))
        return Probed(lengths, Speeds(no_time, no_time, no_time, no_time), sizes, prompts=0, seconds=0.0)


@dataclass(frozen=True)
class Planned:
    """A plan, and what it rests on."""

    campaign: str
    asked: Asked
    rates: Rates
    plan: Plan
    scaled: dict[int, Plan]
    probed: Probed
    held: Pool
    """The pool at its largest, as a run holds it in memory."""
    assumptions: tuple[str, ...]

    def memory_bytes(self, prompts: float) -> int:
        """What holding a pool of so many prompts takes."""
        return round(self.held.num_bytes * prompts / max(1, self.held.prompts))


def plan_campaign(
    settings: CampaignSettings,
    evaluator: Evaluator,
    given: Given,
    open_ports: Callable[[], tuple[Ports, Version, Version]],
) -> Planned:
    """Count, measure, and foresee. DeltaloopError if there is no prompt to measure with."""
    probed, size, characters = given.probed(settings), given.prompts, PROMPT_CHARACTERS
    if probed is None:
        ports, student, teacher = open_ports()
        sample, size = _prompts(settings, ports, given.prompts)
        probed = probe(settings, ports, student, teacher, sample)
        characters = sum(map(_characters, sample)) // len(sample)
    assert size is not None
    asked = asked_of(settings, size, evaluator)
    copies = 2 if settings.tracking.mlflow and probed.sizes.checkpoint <= MLFLOW_COPIES_BYTES else 1
    rates = Rates(
        Shares(),
        probed.lengths if given.tokens is None else _lengths(given.tokens, probed.lengths.generator),
        replace(
            probed.speeds,
            teacher=_given(given.teacher_rate, probed.speeds.teacher),
            student=_given(given.student_rate, probed.speeds.student),
            train=_given(given.train_rate, probed.speeds.train),
        ),
        replace(probed.sizes, checkpoint=copies * probed.sizes.checkpoint),
    )
    scaled = {scale: plan(replace(asked, pool=scale), rates) for scale in SCALES}
    planned = plan(asked, rates)
    largest = math.ceil(max(planned.pools))
    held = Pool(largest, characters * largest, dimension_of(settings), samples_of(settings))
    assumptions = (*_assumptions(settings, rates, probed), _memory(settings, held))
    return Planned(settings.name, asked, rates, planned, scaled, probed, held, assumptions)


def asked_of(settings: CampaignSettings, pool: int, evaluator: Evaluator) -> Asked:
    """What the campaign file asks for, of a pool of so many prompts."""
    scoring, training, rule = settings.scoring, settings.training, settings.selection.rule
    usual, whole = evaluator.suites(whole=False), evaluator.suites(whole=True)
    makes = settings.synthesis.synthesizer != "none"
    origins = (Origin.SEED_GUIDED, Origin.SKILL_GUIDED, Origin.NEW_CHART)
    return Asked(
        rounds=settings.rounds,
        pool=pool,
        teacher_samples=scoring.teacher_samples,
        student_samples=scoring.student_samples,
        adaptive=settings.adaptive.budget if scoring.rule == "adaptive" else None,
        reporting_samples=scoring.reporting_samples,
        reported_chosen=scoring.reported_chosen,
        reported_pool=scoring.reported_pool,
        candidates=sum(settings.candidates(origin) for origin in origins) if makes else 0,
        replies=_replies(settings),
        chosen=settings.selection.prompts,
        all_eligible=rule == "uniform",
        responses=training.steps * training.batch,
        token_budget=training.token_budget,
        questions=sum(evaluator.size(suite) for suite in usual),
        closing_questions=sum(evaluator.size(suite) for suite in whole if suite not in usual),
    )


def plan_json(planned: Planned) -> dict[str, Any]:
    """The object that `plan --json` prints."""
    rounds = zip(planned.plan.pools, planned.plan.rounds, strict=True)
    return {
        "campaign": planned.campaign,
        "prompts": planned.asked.pool,
        "rounds": [
            {"index": index, "pool": round(pool)} | _cost_json(cost, planned.memory_bytes(pool))
            for index, (pool, cost) in enumerate(rounds)
        ],
        "total": _cost_json(planned.plan.total, planned.held.num_bytes),
        "scaled": {
            str(scale): _cost_json(found.total, planned.memory_bytes(max(found.pools)))
            for scale, found in planned.scaled.items()
        },
        "tokens_per_response": asdict(planned.rates.lengths),
        "seconds": asdict(planned.rates.speeds),
        "shares": asdict(planned.rates.shares),
        "probe": {"prompts": planned.probed.prompts, "seconds": planned.probed.seconds},
        "assumptions": list(planned.assumptions),
    }


def plan_tables(planned: Planned) -> RenderableType:
    """Costs by round and at larger scales, and what they rest on."""
    columns = ["pool", "teacher\nsamples", "student\nsamples", "answers", "tokens\nsampled", "tokens\ntrained"]
    columns += ["hours", "storage", "memory"]
    by_round = table_of(
        f"plan of campaign {planned.campaign}: {planned.asked.pool} prompts, {planned.asked.rounds} rounds"
    )
    by_scale = table_of("the same file with a larger pool")
    for table, first in ((by_round, "round"), (by_scale, "prompts")):
        table.add_column(first, justify="right")
        for heading in columns[table is by_scale :]:
            table.add_column(heading, justify="right")
    for index, (pool, cost) in enumerate(zip(planned.plan.pools, planned.plan.rounds, strict=True)):
        by_round.add_row(str(index), f"{pool:.0f}", *_cells(cost, planned.memory_bytes(pool)))
    by_round.add_row("all", "", *_cells(planned.plan.total, planned.held.num_bytes))
    for scale, found in planned.scaled.items():
        by_scale.add_row(f"{scale:,}", *_cells(found.total, planned.memory_bytes(max(found.pools))))
    return Group(by_round, by_scale, _notes(planned))


def _notes(planned: Planned) -> Table:
    probed = planned.probed
    table = table_of(
        "assumed" + (f" (measured: {probed.prompts} prompts, {probed.seconds:.0f} s)" if probed.prompts else "")
    )
    table.show_header = False
    table.add_column()
    for line in planned.assumptions:
        table.add_row(line)
    return table


def _prompts(settings: CampaignSettings, ports: Ports, given: int | None) -> tuple[list[Prompt], int]:
    """A random part of the pool to measure with, and how many there are; a pool that is not filled yet is read."""
    rng, kept, seen = random.Random(derive_seed(settings.seed, "plan")), list[Prompt](), 0
    held = ports.ledger.pool(settings.pool.name)
    rows: Sequence[Prompt] | Any = held or ports.source(settings.pool)
    for row in rows:
        if isinstance(row, Quarantined):
            continue
        seen += 1
        if len(kept) < PROMPTS:
            kept.append(row)
        elif (place := rng.randrange(seen)) < PROMPTS:  # reservoir sampling (Vitter 1985)
            kept[place] = row
        if given is not None and seen >= min(given, 100 * PROMPTS):
            break
    if not kept:
        raise DeltaloopError(
            f"pool `{settings.pool.name}` holds no prompt to measure with, nor does `{settings.pool.source}`;"
            " fill it: deltaloop import SOURCE"
        )
    return kept, given or seen


def _replies(settings: CampaignSettings) -> int:
    """What a generator writes per round: questions a few at a time, and a name per contrast."""
    if settings.synthesis.synthesizer != "model":
        return 0
    generation, origins = settings.generation, (Origin.SEED_GUIDED, Origin.SKILL_GUIDED, Origin.NEW_CHART)
    written = sum(math.ceil(settings.candidates(origin) / generation.questions) for origin in origins)
    return written + settings.targeting.regions * generation.contrasts


def _lengths(tokens: float, generator: float) -> Lengths:
    return Lengths(teacher=tokens, student=tokens, differing=tokens, train=tokens, generator=generator)


def _weights(settings: CampaignSettings) -> float:
    """Bytes of a candidate's checkpoint, written in float32; 0 if nothing tells the student's size."""
    size = model_size(settings.models.student)
    return 0.0 if size is None else size.weights("float32")


def _given(tokens_per_s: float | None, measured: Speed) -> Speed:
    return measured if tokens_per_s is None else Speed(token_s=1 / tokens_per_s)


def _assumptions(settings: CampaignSettings, rates: Rates, probed: Probed) -> tuple[str, ...]:
    shares = rates.shares
    lines = [
        "every round promotes its student, so the next one samples the whole pool anew: the most that can happen",
        f"{shares.parsed:.0%} of the candidates are well formed and new, {shares.admitted:.0%} of these are admitted",
        f"the answers differ on {shares.differing:.0%} of the pool, and only these are chosen from",
        "responses are as long, and the models as fast, as "
        + ("in the probe, in every round" if probed.prompts else "the options say; pictures take no room"),
        "hours are those of the models on this machine, without reading and writing, and with nothing else on it",
    ]
    if settings.scoring.rule == "adaptive":
        lines.append("adaptive scoring spends its whole budget: it may stop earlier")
    if settings.synthesis.synthesizer == "model":
        lines.append(f"a generator's reply is {rates.lengths.generator:.0f} tokens, drawn at the teacher's speed")
    if settings.evaluation.tasks:
        lines.append("a task of the harness has `evaluation.questions` questions, also as a whole")
    return tuple(lines)


def _memory(settings: CampaignSettings, held: Pool) -> str:
    line = f"at its largest the pool is held in memory, beside the models: {fit_line(held, settings.limits)}"
    if held.num_bytes > allowed_bytes(settings.limits):
        line += "; a run refuses it"
    return line if held.dimension else f"{line}; vectors not counted, as nothing tells their dimension"


def _characters(prompt: Prompt) -> int:
    return len(prompt.question) + len(canonical_json(prompt.attributes))


def _cost_json(cost: Cost, memory_bytes: int) -> dict[str, float]:
    told = {name: round(value) for name, value in asdict(cost).items() if name != "device_s"}
    return told | {"memory_bytes": memory_bytes, "device_hours": cost.device_s / HOUR_S}


def _cells(cost: Cost, memory_bytes: int) -> tuple[str, ...]:
    sampled = cost.teacher_tokens + cost.student_tokens + cost.generator_tokens + cost.answer_tokens
    counts = (cost.teacher_samples, cost.student_samples, cost.answers, sampled, cost.train_tokens)
    sizes = (gib(cost.storage_bytes), gib(memory_bytes))
    return (*(f"{count:,.0f}" for count in counts), f"{cost.device_s / HOUR_S:,.2f}", *sizes)
