"""Adaptive scoring: student samples where they may change what is chosen, in waves, each planned from the last.

    teacher's rollouts, last round's Δ, neighbours, the student's samples so far
      -> policies.adaptive.plan_wave -> how many more samples of which prompts -> draw -> again, until none are wanted
      -> posterior of each Δ; a prompt without samples gets a predicted one, marked as such

A wave sees finished waves only, and each wave's work is a recorded plan: a resumed stage draws what an undisturbed one
would. Samples that the ledger held when the stage first started are evidence from the beginning, and cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from loop.embeddings import embed
from loop.ports import Ports
from loop.rollouts import Collected, classes_of, drawing_of, held_rollouts, sample_side
from loop.stages import recorded
from loop.work import Work
from policies.adaptive import Settings, plan_wave
from policies.beliefs import Belief, Evidence, posterior
from policies.divergence import LEVEL, aligned_counts, answer_class, consistency, predicted_score, score_all
from store.records import Admitted, Prompt, Rollout, Score, Scores, Spent, Version

NEVER = 1_000_000
"""Rounds since a prompt was last sampled, if it never was."""

UNKNOWN = (np.nan, np.nan, np.nan)
Rollouts = Mapping[str, Sequence[Rollout]]


def score_adaptively(
    work: Work, student: Version, prompts: Sequence[Prompt], ports: Ports
) -> tuple[tuple[Score, ...], Spent]:
    """Δ of these prompts, in their order, measured or predicted, and what it cost."""
    ids = [prompt.id for prompt in prompts]
    wanted = dict.fromkeys(ids, work.settings.scoring.teacher_samples)
    taught = sample_side(work, work.teacher, wanted, prompts, ports, stage="score")
    known = _known(work, prompts, taught, ports)
    tried = _held_at_start(work, student, ids, ports)
    settings = _settings(work, known, tried)
    samples = tokens = 0
    for wave in count():
        evidence = known.with_student(tried)
        more = plan_wave(evidence, settings, np.random.default_rng(work.seed("score", "wave", wave)))
        wanted = {id: len(tried[id]) + int(num) for id, num in zip(ids, more, strict=True) if num}
        if not wanted:
            break
        drawn = sample_side(work, student, wanted, prompts, ports, stage=f"score/wave {wave}")
        tried |= drawn.rollouts
        samples, tokens = samples + drawn.samples, tokens + drawn.tokens
    scores = _scores(work, student, known, tried, posterior(evidence, settings.smoothing))
    return scores, Spent(taught.samples, samples, taught.tokens, tokens)


def left_of_budget(work: Work, scores: Scores, ids: Sequence[str], ports: Ports) -> tuple[NDArray[np.float64], float]:
    """Cost of a sample of each prompt (the scored ones come first), and what the score stage has left of its budget.

    Fixed scoring has no budget.
    """
    if work.settings.scoring.rule == "fixed":
        return np.ones(len(ids)), np.inf
    wanted = dict.fromkeys(ids, work.settings.scoring.teacher_samples)
    drawing = drawing_of(work, work.teacher, wanted, key=work.key("report"))
    cost = _costs(work, held_rollouts(drawing, ports, texts=False), ids)
    in_tokens = work.settings.adaptive.unit == "tokens"
    spent = scores.spent.student_tokens if in_tokens else scores.spent.student_samples
    return cost, _allowance(work, cost[: len(scores.scores)]) - spent


@dataclass(frozen=True)
class _Known:
    """What does not change between waves."""

    ids: Sequence[str]
    taught: Sequence[Sequence[str]]
    """The teacher's answer classes per prompt."""
    base: Evidence
    """Without samples of the student."""

    def with_student(self, tried: Rollouts) -> Evidence:
        """The evidence once the student has these samples."""
        student, teacher = aligned_counts(_classes(tried, self.ids), self.taught)
        return replace(self.base, student=student, teacher=teacher)


def _known(work: Work, prompts: Sequence[Prompt], taught: Collected, ports: Ports) -> _Known:
    ids, settings = [prompt.id for prompt in prompts], work.settings
    classes = classes_of(taught, ids)
    consistent = [consistency(own) >= settings.selection.min_consistency for own in classes]
    last, idle = _history(work, ids, ports)
    cost = _costs(work, taught.rollouts, ids)
    none, teacher = aligned_counts([[] for _ in ids], classes)
    base = Evidence(
        student=none,
        teacher=teacher,
        last=last,
        idle=idle,
        neighbours=_neighbours(work, prompts, ports),
        eligible=np.array(consistent, dtype=np.bool_),
        cost=cost,
        report_cost=2 * settings.scoring.reporting_samples * cost,
    )
    return _Known(ids, classes, base)


def _costs(work: Work, taught: Rollouts, ids: Sequence[str]) -> NDArray[np.float64]:
    """[n] of one sample: 1, or the mean tokens of the teacher's responses."""
    if work.settings.adaptive.unit == "samples":
        return np.ones(len(ids))
    return np.array([np.mean([row.num_tokens for row in taught[id]]) for id in ids])


def _allowance(work: Work, cost: NDArray[np.float64]) -> float:
    """What scoring may spend on the student in this round, reporting samples of both sides included."""
    return work.settings.adaptive.budget * work.settings.scoring.student_samples * float(cost.sum())


def _history(work: Work, ids: Sequence[str], ports: Ports) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What was believed of each Δ in the last round [n, 3] (NaN: unknown), and rounds since the last sample [n]."""
    sampled: dict[str, int] = {}
    last: dict[str, Score] = {}
    for round in range(max(1, work.round - work.settings.adaptive.revisit), work.round):
        rows = ports.ledger.scores(work.campaign, round)
        made = recorded(ports.ledger, ports.blobs, work.campaign, round, "synthesize", Admitted)
        rows += made.scores if made is not None else ()
        last = {row.prompt_id: row for row in rows}
        sampled |= {row.prompt_id: round for row in rows if not row.predicted}
    idle = [work.round - sampled[id] if id in sampled else NEVER for id in ids]
    believed = [_summary(last[id]) if id in last else UNKNOWN for id in ids]
    return np.array(believed, dtype=np.float64).reshape(-1, 3), np.array(idle, dtype=np.int64)


def _summary(score: Score) -> tuple[float, float, float]:
    """`Belief.summary` of a score; one that is no posterior's is read as what its interval says."""
    if score.spread is None or score.zero_probability is None:
        return score.delta, (score.high - score.low) / (2 * NormalDist().inv_cdf((1 + LEVEL) / 2)), score.zero_delta
    return score.delta, score.spread, score.zero_probability


def _neighbours(work: Work, prompts: Sequence[Prompt], ports: Ports) -> NDArray[np.int64]:
    """[n, h] positions of each prompt's nearest ones in the pool; -1 where the index names none of it."""
    num, ids = work.settings.adaptive.neighbours, [prompt.id for prompt in prompts]
    vectors = embed(prompts, ports, batch=work.settings.embedding.batch, key=work.key("score", "embed"))
    ports.index.add(ids, vectors)
    place = {id: number for number, id in enumerate(ids)}
    found = np.full((len(ids), num), -1, dtype=np.int64)
    for row, (id, hits) in enumerate(zip(ids, ports.index.nearest(vectors, num + 1), strict=True)):
        near = [place[other] for other, _ in hits if other != id and other in place][:num]
        found[row, : len(near)] = near
    return found


def _held_at_start(work: Work, student: Version, ids: Sequence[str], ports: Ports) -> dict[str, Sequence[Rollout]]:
    """The student's selecting samples that the ledger held when this stage first started."""
    key = work.key("score", "held")
    most = dict.fromkeys(ids, work.settings.scoring.student_samples)
    held = held_rollouts(drawing_of(work, student, most, key=key), ports, texts=False)
    plan = ports.ledger.find_plan(key)
    if plan is None:
        plan = tuple((str(len(rows)), id) for id, rows in held.items() if rows)
        ports.ledger.add_plan(key, plan)
    return dict.fromkeys(ids, ()) | {id: held[id][: int(num)] for num, id in plan}


def _settings(work: Work, known: _Known, held: Rollouts) -> Settings:
    """The budget is on top of what was held already: that is paid for."""
    scoring, adaptive, cost = work.settings.scoring, work.settings.adaptive, known.base.cost
    paid = float(sum(len(held[id]) * own for id, own in zip(known.ids, cost, strict=True)))
    return Settings(
        budget=_allowance(work, cost) + paid,
        train_size=work.settings.selection.prompts,
        smoothing=scoring.smoothing,
        most=scoring.student_samples,
        revisit=adaptive.revisit,
        tolerance=adaptive.tolerance,
        reported_chosen=scoring.reported_chosen,
        reported_pool=scoring.reported_pool,
    )


def _scores(work: Work, student: Version, known: _Known, tried: Rollouts, belief: Belief) -> tuple[Score, ...]:
    """What was measured and what is predicted, both with the posterior's Δ."""
    settings, versions = work.settings.scoring, (student.id, work.teacher.id)
    classes = _classes(tried, known.ids)
    seen = [place for place, own in enumerate(classes) if own]
    measured = score_all(
        [known.ids[place] for place in seen],
        versions,
        [classes[place] for place in seen],
        [known.taught[place] for place in seen],
        smoothing=settings.smoothing,
        false_share=settings.false_share,
    )
    by_place = dict(zip(seen, measured, strict=True))
    low, high = belief.interval(LEVEL)
    return tuple(
        replace(
            by_place.get(place) or predicted_score(id, versions, known.taught[place], float(belief.mean[place])),
            estimator="posterior",
            settings={"smoothing": settings.smoothing, "level": LEVEL, "false_share": settings.false_share},
            delta=float(belief.mean[place]),
            low=float(low[place]),
            high=float(high[place]),
            zero_delta=bool(belief.zero[place] >= 0.5),
            spread=float(belief.sd[place]),
            zero_probability=float(belief.zero[place]),
        )
        for place, id in enumerate(known.ids)
    )


def _classes(tried: Rollouts, ids: Sequence[str]) -> list[list[str]]:
    return [[answer_class(row) for row in tried[id]] for id in ids]
