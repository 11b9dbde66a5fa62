"""Where a round's prompts lie in the plane of its regions: a point each while they are few, else one per grid cell.

    plane of the regions' centres <- embeddings, some thousands at a time -> points [n, 2] -> at most `FEW` or the grid

A round's map is made once, when somebody first looks, and kept in a file beside the summaries: <folder>/<key>.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from store.files import write_whole
from store.records import canonical_json, digest, digest_of

FEW = 400
COLUMNS, ROWS = 32, 20
BATCH = 10_000

Vectors = Callable[[Sequence[str]], Mapping[str, NDArray[np.float32]]]
"""The embeddings of some prompts, by id."""


@dataclass(frozen=True)
class Plane:
    """The two main components of the regions' centres, each centre counted by its size."""

    origin: NDArray[np.float64]
    """[d]"""
    components: NDArray[np.float64]
    """[2, d], or fewer rows where there are fewer directions."""

    @classmethod
    def through(cls, centres: NDArray[np.float32], sizes: Sequence[int]) -> Plane:
        """The plane of centres [k, d]."""
        weights = np.maximum(np.array(sizes, dtype=float), 1.0)
        origin = np.average(centres, axis=0, weights=weights)
        components = np.linalg.svd((centres - origin) * np.sqrt(weights)[:, None], full_matrices=False)[2][:2]
        # The sign of a component is arbitrary: its largest loading is made positive, so that a map does not flip.
        largest = np.abs(components).argmax(axis=1)
        components *= np.where(components[np.arange(len(components)), largest] < 0, -1.0, 1.0)[:, None]
        return cls(np.asarray(origin, dtype=float), np.asarray(components, dtype=float))

    def points(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Where vectors [n, d] lie: [n, 2]."""
        points = np.zeros((len(vectors), 2))
        points[:, : len(self.components)] = (vectors - self.origin) @ self.components.T
        return points


@dataclass(frozen=True)
class Spot:
    """A prompt, or the prompts of a cell."""

    x: float
    y: float
    size: int
    delta: float
    """Their mean Δ."""


def prompt_map(plane: Plane, deltas: Mapping[str, float], vectors: Vectors) -> list[Spot]:
    """The spots of the prompts whose Δ and embedding are known."""
    ids, points = list(deltas), []
    known: list[float] = []
    for start in range(0, len(ids), BATCH):
        held = vectors(ids[start : start + BATCH])
        if held:
            points.append(plane.points(np.stack(list(held.values()))))
            known += [deltas[id] for id in held]
    return spots(np.concatenate(points), np.array(known)) if points else []


def spots(points: NDArray[np.float64], deltas: NDArray[np.float64]) -> list[Spot]:
    """Points [n, 2] as they are while they are few, else the middle of those in each cell of a grid."""
    if len(points) <= FEW:
        cells = np.arange(len(points))
    else:
        low, high = points.min(axis=0), points.max(axis=0)
        span = np.maximum(high - low, 1e-12)
        shape = np.array([COLUMNS, ROWS])
        places = np.minimum(((points - low) / span * shape).astype(int), shape - 1)
        cells = np.unique(places[:, 0] * ROWS + places[:, 1], return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(cells)
    means = [np.bincount(cells, weights) / sizes for weights in (points[:, 0], points[:, 1], deltas)]
    return [
        Spot(round(float(x), 4), round(float(y), 4), int(size), round(float(delta), 4))
        for x, y, size, delta in zip(means[0], means[1], sizes, means[2], strict=True)
    ]


def kept_map(folder: Path, parts: Sequence[str], make: Callable[[], list[Spot]]) -> list[Spot]:
    """The map of a round from its file, made if there is none; `parts` name what it is made of."""
    path = folder / f"map-{digest_of([digest(Path(__file__).read_bytes()), *parts])}.json"
    try:
        return [Spot(**held) for held in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError):
        made = make()
    with suppress(OSError):  # a home that cannot be written to can still be looked at
        text = canonical_json([asdict(spot) for spot in made])
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return made
