"""Regions of the embedding space, and what is believed of them.

    embeddings -> centroids -> region of each prompt -> posterior of a region's mean Δ -> skills it fails at

The belief is a conjugate normal posterior. A region keeps its history from round to round, but old evidence counts less
each time, since the student moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

from store.records import Posterior

PRIOR = Posterior(mean=0.5, variance=1.0, num=0.0)
"""Before any evidence: wide against Δ's range of [0, log(1 / smoothing)], worth about one prompt."""

SHRINKAGE = 4.0
"""How many prompts at the overall mean are added to each skill's own: two bad prompts make no failure skill."""

_ITERATIONS = 25


def cluster(embeddings: NDArray[np.float32], num: int, seed: int) -> NDArray[np.float32]:
    """Unit-norm centroids [k, d] of spherical k-means over unit vectors [n, d].

    k is `num`, or the number of distinct vectors if that is smaller. FAISS on one thread: the same vectors and
    seed give the same centroids. ValueError if there are no vectors.
    """
    k = _num_distinct(embeddings, num)
    if not k:
        raise ValueError("there are no embeddings to cluster; the pool is empty, import prompts first")
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    # FAISS draws from a 32-bit seed; fewer than 39 points a centroid are a warning there, and normal here.
    kmeans = faiss.Kmeans(
        vectors.shape[1], k, niter=_ITERATIONS, spherical=True, seed=seed % 2**31, min_points_per_centroid=1
    )
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        kmeans.train(vectors)
    finally:
        faiss.omp_set_num_threads(threads)
    centroids: NDArray[np.float32] = np.array(kmeans.centroids, dtype=np.float32)
    return centroids


def assign(embeddings: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    """The region [n] of each vector [n, d]: its centroid of highest cosine."""
    if not len(embeddings):
        return np.zeros(0, dtype=np.int64)
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    _, nearest = faiss.knn(vectors, centroids, 1, metric=faiss.METRIC_INNER_PRODUCT)
    labels: NDArray[np.int64] = nearest[:, 0].astype(np.int64)
    return labels


def update(prior: Posterior, deltas: NDArray[np.float64], *, noise_variance: float, discount: float) -> Posterior:
    """The posterior of a region's mean Δ after this round's Δ [m] of its prompts.

    Conjugate normal update with known observation noise (the pooled variance of Δ within regions). Of the evidence that
    came before, the share `discount` in [0, 1] stays: in natural parameters, the belief is first drawn back towards
    `PRIOR` (1 keeps everything, 0 forgets all earlier rounds). ValueError if the noise variance is not positive.
    """
    if not noise_variance > 0:
        raise ValueError(f"noise variance {noise_variance} is not positive; bound it from below")
    precision = discount / prior.variance + (1 - discount) / PRIOR.variance
    weighted = discount * prior.mean / prior.variance + (1 - discount) * PRIOR.mean / PRIOR.variance
    precision += len(deltas) / noise_variance
    weighted += float(np.sum(deltas)) / noise_variance
    return Posterior(weighted / precision, 1 / precision, discount * prior.num + len(deltas))


def failure_skills(skills: Sequence[str], deltas: NDArray[np.float64], num: int) -> tuple[str, ...]:
    """At most `num` skills at which the student fails, worst first: the skill [n] and Δ [n] of a region's prompts say.

    Ranked by mean Δ shrunk towards the overall mean, so that a small count does not win by luck; where a skill's own
    mean Δ is zero, nothing fails. Prompts of unknown skill, '', are left out. Equals go by name.
    """
    known = np.array([bool(skill) for skill in skills], dtype=np.bool_)
    if not known.any():
        return ()
    names, which = np.unique([skill for skill in skills if skill], return_inverse=True)
    sums = np.bincount(which, weights=deltas[known])
    counts = np.bincount(which)
    shrunk = (sums + SHRINKAGE * deltas[known].mean()) / (counts + SHRINKAGE)
    worst = [index for index in np.argsort(-shrunk, kind="stable") if sums[index] > 0]
    return tuple(str(names[index]) for index in worst[:num])


def _num_distinct(embeddings: NDArray[np.float32], enough: int) -> int:
    """How many different rows there are, counted no further than `enough`."""
    rows: set[bytes] = set()
    for row in embeddings:
        if len(rows) >= enough:
            break
        rows.add(row.tobytes())
    return len(rows)
