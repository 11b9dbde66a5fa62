"""The target stage: where in the embedding space to synthesise, how much, and about what.

    scores + embeddings -> regions -> posterior of each region's mean Δ -> budget and failure skills

The clusters of a campaign are found in its first round and kept, so that a region's posterior has a history.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loop.embeddings import embed
from loop.failure_skills import Scored, find_failure_skills
from loop.ports import Ports
from loop.stages import recorded
from loop.work import Work
from policies.regions import PRIOR, assign, cluster, update
from policies.targeting import allocate
from store.records import Aims, Posterior, Prompt, Region, Scores


def aim(work: Work, scores: Scores, ports: Ports) -> Aims:
    """Cluster, update the region posteriors, name failure skills, and split the synthesis budget over regions."""
    prompts = ports.ledger.prompts([score.prompt_id for score in scores.scores])
    deltas = np.array([score.delta for score in scores.scores])
    settings = work.settings.embedding
    vectors = embed(prompts, ports, batch=settings.batch, key=work.key("target", "embed"))
    ports.index.add([prompt.id for prompt in prompts], vectors)
    ports.index.save()

    before = recorded(ports.ledger, ports.blobs, work.campaign, work.round - 1, "target", Aims)
    centroids = _centroids(work, vectors, before, ports)
    labels = assign(vectors, centroids)
    posteriors = _posteriors(work, deltas, labels, len(centroids), before)
    found = find_failure_skills(work, Scored(prompts, scores, labels, len(centroids)), before, ports)
    aims = Aims(
        _regions(work, prompts, labels, posteriors, found.by_region),
        ports.blobs.put(_to_npy(centroids)),
        {prompt.id: int(label) for prompt, label in zip(prompts, labels, strict=True)},
        ports.embedder.name,
        contrasts=found.contrasts,
        named=found.named,
        spent=found.spent,
    )
    ports.ledger.add_aims(work.campaign, work.round, aims)
    return aims


def _centroids(work: Work, vectors: NDArray[np.float32], before: Aims | None, ports: Ports) -> NDArray[np.float32]:
    if before is not None:
        kept: NDArray[np.float32] = np.load(io.BytesIO(ports.blobs.get(before.centroids)), allow_pickle=False)
        return kept
    return cluster(vectors, work.settings.targeting.regions, work.seed("cluster"))


def _posteriors(
    work: Work, deltas: NDArray[np.float64], labels: NDArray[np.int64], num: int, before: Aims | None
) -> list[Posterior]:
    priors = [region.posterior for region in before.regions] if before is not None else [PRIOR] * num
    sizes = np.maximum(np.bincount(labels, minlength=num), 1)
    residuals = deltas - (np.bincount(labels, weights=deltas, minlength=num) / sizes)[labels]
    noise = max(float(residuals.var()), 1e-4)
    discount = work.settings.targeting.discount
    return [
        update(prior, deltas[labels == index], noise_variance=noise, discount=discount)
        for index, prior in enumerate(priors)
    ]


def _regions(
    work: Work,
    prompts: Sequence[Prompt],
    labels: NDArray[np.int64],
    posteriors: Sequence[Posterior],
    skills: Sequence[tuple[str, ...]],
) -> tuple[Region, ...]:
    settings, rng = work.settings.targeting, np.random.default_rng(work.seed("target"))
    sizes = np.bincount(labels, minlength=len(posteriors))
    budget = work.settings.most_candidates()
    budgets = allocate(settings.rule, posteriors, sizes, budget=budget, exploration=settings.exploration, rng=rng)
    regions = []
    for index, posterior in enumerate(posteriors):
        members = np.flatnonzero(labels == index)
        seeds = rng.permutation(members)[: settings.seeds_per_region]
        regions.append(
            Region(
                index,
                len(members),
                posterior,
                skills[index],
                budgets[index],
                tuple(prompts[seed].id for seed in seeds),
            )
        )
    return tuple(regions)


def _to_npy(array: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
