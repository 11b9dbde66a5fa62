"""What the student trains on: scored prompts -> indices of the chosen ones, best first.

    choices -> eligible (differs, and the teacher is consistent) -> rule -> at most `num` indices -> weights

A rule is a function of `Choices` and an eligibility mask; `SELECTION` names them. Δ of a few samples takes few values,
so ties are the normal case: every rule breaks them by `rng`, never by position (positions follow age in the pool).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORTLIST = 4
"""`delta_diverse` looks at this many times `num` prompts, those of the highest Δ: its cost is num² · SHORTLIST · d."""

DIVERSITY = 0.3
"""What an exact duplicate of a chosen prompt loses, as a share of the highest Δ."""


@dataclass(frozen=True)
class Choices:
    """n scored prompts, as aligned arrays."""

    delta: NDArray[np.float64]
    """[n] answer divergence, in nats."""
    zero: NDArray[np.bool_]
    """[n] whether both models answer alike."""
    consistency: NDArray[np.float64]
    """[n] of the teacher, in [0, 1]."""
    agreement: NDArray[np.float64]
    """[n] share of the student's samples that give the teacher's majority answer."""
    embeddings: NDArray[np.float32]
    """[n, d] unit vectors."""


Rule = Callable[[Choices, NDArray[np.bool_], int, np.random.Generator], NDArray[np.int64]]
"""(choices, eligible [n], num, rng) -> at most num distinct eligible indices, best first."""


def delta_diverse(
    choices: Choices, eligible: NDArray[np.bool_], num: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The highest Δ, less what resembles a choice made before: greedy maximal marginal relevance.

    Value of a prompt: Δ / max Δ - DIVERSITY · (largest cosine to a chosen one, if positive); Carbonell & Goldstein
    1998. The vectors are centred first: raw cosines within one encoder are all close to 1, and tell nothing apart.
    """
    ranked = _ranked(-choices.delta, eligible, rng)[: SHORTLIST * num]
    if not len(ranked):
        return ranked
    vectors = choices.embeddings[ranked] - choices.embeddings[eligible].mean(axis=0, dtype=np.float64)
    vectors = (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    value = choices.delta[ranked] / max(float(choices.delta[ranked].max()), 1e-12)
    likeness = np.zeros(len(ranked), dtype=np.float32)
    free = np.ones(len(ranked), dtype=np.bool_)
    chosen = []
    for _ in range(min(num, len(ranked))):
        best = int(np.where(free, value - DIVERSITY * likeness, -np.inf).argmax())
        free[best] = False
        chosen.append(best)
        np.maximum(likeness, vectors @ vectors[best], out=likeness)
    return ranked[chosen]


def delta_weighted(
    choices: Choices, eligible: NDArray[np.bool_], num: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Drawn without replacement with probability in proportion to Δ: Gumbel top-k (Kool et al. 2019).

    A prompt of Δ = 0 is never drawn, hence the result may be shorter than `num`.
    """
    indices = np.flatnonzero(eligible & (choices.delta > 0))
    keys = np.log(choices.delta[indices]) + rng.gumbel(size=len(indices))
    return indices[np.argsort(-keys, kind="stable")[:num]]


def uniform(choices: Choices, eligible: NDArray[np.bool_], num: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Drawn without replacement, all alike: the control arm."""
    return rng.permutation(np.flatnonzero(eligible))[:num]


def hardest(choices: Choices, eligible: NDArray[np.bool_], num: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The student gives the teacher's majority answer least often."""
    return _ranked(choices.agreement, eligible, rng)[:num]


SELECTION: dict[str, Rule] = {
    "delta_diverse": delta_diverse,
    "delta_weighted": delta_weighted,
    "uniform": uniform,
    "hardest": hardest,
    "zero_delta": uniform,
}


def select(
    rule_name: str,
    choices: Choices,
    *,
    num: int,
    min_consistency: float,
    rng: np.random.Generator,
    min_delta: float = 0.0,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """At most `num` distinct indices, best first, and their training weights, all 1.

    Eligible is what is not zero-delta, of a Δ of at least `min_delta`, and whose teacher is consistent at least
    `min_consistency`. Two rules are controls. For `uniform` everything is eligible: it is the arm that answers "no
    better than random?", and random means the pool as it came, as someone would train who never measured Δ or
    consistency. For `zero_delta` it is what the other rules leave out: the arm that answers "does it matter what is
    trained on?".
    """
    eligible = (choices.zero == (rule_name == "zero_delta")) & (choices.consistency >= min_consistency)
    if rule_name != "zero_delta":
        eligible &= choices.delta >= min_delta
    if rule_name == "uniform":
        eligible = np.ones_like(eligible)
    indices = SELECTION[rule_name](choices, eligible, num, rng)
    return indices, np.ones(len(indices))


def _ranked(keys: NDArray[np.float64], eligible: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Eligible indices by ascending key, equal keys in random order."""
    shuffled = rng.permutation(np.flatnonzero(eligible))
    return shuffled[np.argsort(keys[shuffled], kind="stable")]
