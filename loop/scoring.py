"""The score stage: Δ of every pool prompt for the current student.

    fixed       the same number of student samples on every prompt
    adaptive    samples where they matter, wave by wave (loop.adaptive_scoring)

Teacher rollouts are drawn once per prompt and kept for ever; a student version is sampled once.
"""

from __future__ import annotations

from collections.abc import Sequence

from loop.adaptive_scoring import score_adaptively
from loop.pool import usable_prompts
from loop.ports import Ports
from loop.rollouts import classes_of, sample_side
from loop.work import Work
from policies.divergence import score_all
from store.records import Prompt, Score, Scores, Spent, Version


def score_pool(work: Work, student: Version, ports: Ports) -> Scores:
    """Score every prompt of the pool as it stands when the stage first starts."""
    prompts = _pool_at_start(work, ports)
    if work.settings.scoring.rule == "adaptive":
        scores, spent = score_adaptively(work, student, prompts, ports)
    else:
        scores, spent = score_prompts(work, student, prompts, ports, stage="score")
    ports.ledger.add_scores(work.campaign, work.round, scores)
    return Scores(student.id, scores, spent)


def score_prompts(
    work: Work, student: Version, prompts: Sequence[Prompt], ports: Ports, *, stage: str
) -> tuple[tuple[Score, ...], Spent]:
    """Δ of these prompts by equally many samples of each, in their order, and what it cost."""
    settings = work.settings.scoring
    ids = [prompt.id for prompt in prompts]
    taught = sample_side(work, work.teacher, dict.fromkeys(ids, settings.teacher_samples), prompts, ports, stage=stage)
    tried = sample_side(work, student, dict.fromkeys(ids, settings.student_samples), prompts, ports, stage=stage)
    scores = score_all(
        ids,
        (student.id, work.teacher.id),
        classes_of(tried, ids),
        classes_of(taught, ids),
        smoothing=settings.smoothing,
        false_share=settings.false_share,
    )
    return scores, Spent(taught.samples, tried.samples, taught.tokens, tried.tokens)


def _pool_at_start(work: Work, ports: Ports) -> tuple[Prompt, ...]:
    """The pool of the stage's first attempt: a prompt that comes in meanwhile waits for the next round."""
    key = work.key("score", "pool")
    plan = ports.ledger.find_plan(key)
    if plan is not None:
        ports.check_pool()
        return ports.ledger.prompts(plan[0])
    prompts = usable_prompts(work.settings, ports)
    ports.ledger.add_plan(key, [[prompt.id for prompt in prompts]])
    return prompts
