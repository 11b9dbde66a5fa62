"""The score stage: Δ of every pool prompt for the current student.

Teacher rollouts are drawn once per prompt and kept for ever; a student version is sampled once.
"""

from __future__ import annotations

from collections.abc import Sequence

from loop.ports import Ports
from loop.rollouts import Collected, Drawing, collect
from loop.work import Work
from policies.divergence import answer_class, score
from store.records import Prompt, Score, Scores, Spent, Version


def score_pool(work: Work, student: Version, ports: Ports) -> Scores:
    """Sample both models on the pool as it stands when the stage first starts, and score every prompt."""
    prompts = _pool_at_start(work, ports)
    scores, spent = score_prompts(work, student, prompts, ports, stage="score")
    ports.ledger.add_scores(work.campaign, work.round, scores)
    return Scores(student.id, scores, spent)


def score_prompts(
    work: Work, student: Version, prompts: Sequence[Prompt], ports: Ports, *, stage: str
) -> tuple[tuple[Score, ...], Spent]:
    """Δ of these prompts, in their order, and what it cost."""
    settings = work.settings.scoring
    taught = _collect(work, work.teacher, settings.teacher_samples, prompts, ports, stage)
    tried = _collect(work, student, settings.student_samples, prompts, ports, stage)
    scores = tuple(
        score(
            prompt.id,
            student.id,
            work.teacher.id,
            [answer_class(rollout) for rollout in tried.rollouts[prompt.id]],
            [answer_class(rollout) for rollout in taught.rollouts[prompt.id]],
            smoothing=settings.smoothing,
        )
        for prompt in prompts
    )
    return scores, Spent(taught.samples, tried.samples, taught.tokens, tried.tokens)


def _collect(work: Work, version: Version, num: int, prompts: Sequence[Prompt], ports: Ports, stage: str) -> Collected:
    seed, key = work.seed("rollouts", version.id), work.key(stage, version.role)
    return collect(Drawing(version, num, work.settings.sampling, seed, key), prompts, ports)


def _pool_at_start(work: Work, ports: Ports) -> tuple[Prompt, ...]:
    """The pool of the stage's first attempt: a prompt that comes in meanwhile waits for the next round."""
    key = work.key("score", "pool")
    plan = ports.ledger.find_plan(key)
    if plan is not None:
        return ports.ledger.prompts(plan[0])
    prompts = ports.ledger.pool(work.settings.pool.name)
    ports.ledger.add_plan(key, [[prompt.id for prompt in prompts]])
    return prompts
