"""Rounds of pools whose truth is known: what both models answer, round by round, while the student moves.

    simulated pools (scripts.scoring.shapes), or rollouts recorded from the embedded pair -> Round, Round, ...

Recorded rollouts are an .npz file that `scripts.record_rollouts` wrote: int16 class codes `student` [rounds, prompts,
64] and `teacher` [prompts, 64], and `embeddings` [prompts, d]. Of each side 16 samples, another 16 for each seed, feed
the schemes; the other 48 are the truth (as plug-in: 48 samples make Δ a little larger than it is, for all schemes
alike).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from policies.distances import distances
from scripts.scoring.shapes import SMOOTHING, draw, make_pool, next_round

FED = 16
"""Samples of a side that feed fixed-16, and the teacher's that feed adaptive scoring."""
MOST = 32
"""Samples of a side of a simulated prompt."""
NEIGHBOURS = 48
NEW_SHARE = 0.02
"""Prompts that come in from round to round, as a share of the first round's."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Codes = NDArray[np.int16]


@dataclass(frozen=True)
class Round:
    """What the models answer in one round: codes, of which schemes see as many as they pay for; and the truth."""

    student: Codes
    """[n, samples]: the first FED may select, the next ones report; fixed schemes take them from the start."""
    teacher: Codes
    """[n, samples], cached: the first rows and columns are the same in every round."""
    classes: int
    truth: Floats
    """[n] true Δ."""
    neighbours: Counts
    """[n, NEIGHBOURS]"""


def simulated_rounds(shape: str, prompts: int, rounds: int, seed: int) -> Iterator[Round]:
    """The rounds of a pool that grows by NEW_SHARE of `prompts` a round, under a student that moves."""
    rng = np.random.default_rng([seed, 1])
    size = [prompts + round(NEW_SHARE * prompts) * index for index in range(rounds)]
    pool = make_pool(shape, size[-1], rng)
    teacher = draw(pool.teacher, MOST, rng)
    for num in size:
        student = draw(pool.student[:num], MOST, rng)
        truth = delta(pool.student[:num], pool.teacher[:num])
        near = nearest(pool.embeddings[:num], NEIGHBOURS)
        yield Round(student, teacher[:num], pool.teacher.shape[1], truth, near)
        pool = next_round(pool, rng)


def load_recorded(file: Path) -> dict[str, NDArray[Any]]:
    """Arrays `student`, `teacher`, `embeddings` of an .npz file. ValueError says what is missing or does not fit."""
    with np.load(file, allow_pickle=False) as archive:
        missing = {"student", "teacher", "embeddings"} - set(archive.files)
        if missing:
            raise ValueError(f"{file}: no array {', '.join(sorted(missing))}; record the rollouts again")
        arrays = {name: archive[name] for name in ("student", "teacher", "embeddings")}
    shapes = {name: array.shape for name, array in arrays.items()}
    student, teacher = arrays["student"], arrays["teacher"]
    if student.ndim != 3 or student.shape[1:] != teacher.shape or len(arrays["embeddings"]) != len(teacher):
        wanted = "[rounds, prompts, samples], [prompts, samples], [prompts, d]"
        raise ValueError(f"{file}: the shapes {shapes} do not fit {wanted}")
    if teacher.shape[1] <= 2 * FED or min(student.min(), teacher.min()) < 0:
        raise ValueError(f"{file}: {teacher.shape[1]} samples a side, codes from {student.min()}; give over {2 * FED}")
    return arrays


def recorded_rounds(arrays: dict[str, NDArray[Any]], seed: int) -> Iterator[Round]:
    """The rounds of recorded rollouts: FED random samples of each side feed the schemes, the others are the truth."""
    rng = np.random.default_rng([seed, 2])
    teacher = rng.permuted(arrays["teacher"], axis=1)
    classes = int(max(arrays["student"].max(), teacher.max())) + 1
    near = nearest(np.asarray(arrays["embeddings"], dtype=np.float32), NEIGHBOURS)
    for codes in arrays["student"]:
        student = rng.permuted(codes, axis=1)
        truth = delta(*(shares(side[:, FED:], classes) for side in (student, teacher)))
        yield Round(student[:, :FED], teacher[:, :FED], classes, truth, near)


def delta(p: Floats, q: Floats) -> Floats:
    """[n] Δ of known distributions, the rows of student's p and teacher's q [n, classes]."""
    return distances(p, q, SMOOTHING)[0]


def count(codes: Codes, classes: int) -> Counts:
    """[n, classes] how often each class stands in a row of `codes`."""
    rows = np.arange(len(codes))[:, None]
    flat = (rows * classes + codes).ravel()
    return np.bincount(flat, minlength=len(codes) * classes).reshape(len(codes), classes)


def shares(codes: Codes, classes: int) -> Floats:
    """[n, classes] share of each class in a row of `codes`."""
    return count(codes, classes) / codes.shape[1]


def nearest(embeddings: NDArray[np.float32], num: int) -> Counts:
    """[n, num] nearest others by inner product, -1 where there are fewer."""
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    _, found = faiss.knn(vectors, vectors, min(num + 1, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
    # Each row without itself; where equals crowd it out, without the last.
    self_at = found == np.arange(len(found))[:, None]
    self_at[~self_at.any(axis=1), -1] = True
    others: Counts = found[~self_at].reshape(len(found), -1).astype(np.int64)
    return np.pad(others, ((0, 0), (0, num - others.shape[1])), constant_values=-1)
