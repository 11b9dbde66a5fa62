"""Failure skills in a generator's words: names that mean the same are one skill, and a region keeps its worst ones.

names + vectors -> merge -> one name per meaning -> rank (summed Δ, then what the region failed at before)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def merge(names: Sequence[str], vectors: NDArray[np.float32], *, cosine: float) -> dict[str, str]:
    """The name that stands for each: the first, in the given order, whose unit vector [n, d] is at least this close.

    Leaders are themselves; who comes first leads, so names of earlier rounds go first and stay what they are.
    """
    stands_for: dict[str, str] = {}
    leaders: list[int] = []
    for index, name in enumerate(names):
        near = vectors[leaders] @ vectors[index] if leaders else np.zeros(0, dtype=np.float32)
        if len(near) and float(near.max()) >= cosine:
            stands_for[name] = names[leaders[int(near.argmax())]]
        else:
            leaders.append(index)
            stands_for[name] = name
    return stands_for


def rank(weights: Mapping[str, float], before: Sequence[str], num: int) -> tuple[str, ...]:
    """At most `num` skills of a region: those named now by falling weight, equals by name; then those of `before`."""
    now = sorted(weights, key=lambda name: (-weights[name], name))
    return tuple(dict.fromkeys([*now, *before]))[:num]
