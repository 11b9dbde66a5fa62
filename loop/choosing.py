"""The select stage: what the student trains on, out of the scored pool and this round's admitted prompts."""

from __future__ import annotations

import numpy as np

from loop.embeddings import embed
from loop.ports import Ports
from loop.reporting import report
from loop.work import Work
from policies.selection import Choices, select
from store.records import Admitted, Scores, TrainingSet, digest_of


def choose(work: Work, scores: Scores, admitted: Admitted, ports: Ports) -> TrainingSet:
    """High Δ, consistent teacher, diverse, or what another rule prefers; then what the choice is worth."""
    rows = scores.scores + admitted.scores
    prompts = ports.ledger.prompts([row.prompt_id for row in rows])
    choices = Choices(
        delta=np.array([row.delta for row in rows]),
        zero=np.array([row.zero_delta for row in rows]),
        consistency=np.array([row.consistency for row in rows]),
        agreement=np.array([row.student_agreement for row in rows]),
        embeddings=embed(prompts, ports, batch=work.settings.embedding.batch, key=work.key("select", "embed")),
    )
    settings = work.settings.selection
    picked, weights = select(
        settings.rule,
        choices,
        num=settings.prompts,
        min_consistency=settings.min_consistency,
        rng=np.random.default_rng(work.seed("select")),
        min_delta=settings.min_delta,
    )
    ids = tuple(rows[index].prompt_id for index in picked)
    mean = float(choices.delta[picked].mean()) if len(picked) else 0.0
    of_choice, of_pool, spent = report(work, scores, [row.prompt_id for row in rows], picked, ports)
    return TrainingSet(ids, tuple(map(float, weights)), digest_of(ids), mean, of_choice, of_pool, spent)
