"""Nearest neighbours among the embeddings of a pool: FAISS inner product over unit vectors.

    <folder>/index-<name>.faiss    the index: flat (exact) under `FLAT_BELOW` vectors, IVF-flat from there on
    <folder>/index-<name>.json     the manifest, written last: ids by position, sha256 of the index file

The ledger's embeddings are the truth. A saved index that is missing, damaged, or holds anything that they do not say is
rebuilt from them; one that merely lacks the newest gets these added. With `faiss-gpu` and a GPU, searches run there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from store.errors import Unstorable
from store.files import write_whole
from store.records import canonical_json, digest_of

FLAT_BELOW = 50_000
"""Up to here an exact search takes milliseconds."""

SEED = 1234
"""Of the clustering that trains an IVF index."""

TIES = 16
"""Hits looked at beyond k, so that equal cosines at the border are decided by id and not by order of insertion."""

PROBED_SHARE = 0.1
"""Share of the IVF lists that a search visits (at least 16): recall before speed."""


COMPARED = 4096
"""Vectors compared with the ledger's at a time."""


def index_name(pool: str, embedder: str) -> str:
    """The name of the index of one pool under one embedding."""
    return f"{pool}-{digest_of(embedder)[:16]}"


class PoolIndex:
    """The index of one pool; see the module docstring."""

    def __init__(self, folder: Path, name: str, *, flat_below: int = FLAT_BELOW) -> None:
        """Empty; `open` is what callers want."""
        self._file, self._manifest = _paths(folder, name)
        self._flat_below = flat_below
        self._ids: list[str] = []
        self._held: set[str] = set()
        self._index: Any = None
        self._searcher: Any = None
        self._unsaved = False

    @staticmethod
    def open(
        folder: Path, name: str, vectors: Mapping[str, NDArray[np.float32]], *, flat_below: int = FLAT_BELOW
    ) -> PoolIndex:
        """The index of these embeddings: the saved one if it agrees with them, else a new one.

        Args:
            folder: where the index is saved.
            name: see `index_name`.
            vectors: unit vectors [d] by prompt id, as the ledger holds them.
            flat_below: number of vectors from which on the index is an approximate one.
        """
        index = PoolIndex(folder, name, flat_below=flat_below)
        index._load(vectors)
        missing = sorted(vectors.keys() - index._held)
        if missing:
            index.add(missing, np.stack([vectors[id] for id in missing]))
        return index

    @property
    def is_exact(self) -> bool:
        """Whether every vector is compared, or only those of the nearest lists."""
        return not isinstance(self._index, faiss.IndexIVF)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Add unit vectors [n, d]; ids that are there already are skipped.

        Unstorable if a vector is not finite, not of unit norm, or not of the index's d.
        """
        rows: dict[str, int] = {}
        for row, id in enumerate(ids):
            if id not in self._held:
                rows.setdefault(id, row)
        if not rows:
            return
        new = _checked(list(rows), vectors[list(rows.values())], None if self._index is None else self._index.d)
        total = len(self._ids) + len(new)
        if self._index is None or (self.is_exact and total >= self._flat_below):
            held = new if self._index is None else np.concatenate([self._vectors(range(len(self._ids))), new])
            self._index = _build(held, self._flat_below)
        else:
            self._index.add(new)
        self._ids += rows
        self._held |= rows.keys()
        self._searcher = None
        self._unsaved = True

    def save(self) -> None:
        """Write the index beside the ledger, temporary name first, the manifest last."""
        if not self._unsaved:
            return
        # Without the old manifest the half-written state is no index at all, rather than a damaged one.
        self._manifest.unlink(missing_ok=True)
        write_whole(self._file, lambda temporary: faiss.write_index(self._index, str(temporary)))
        manifest = canonical_json({"ids": self._ids, "sha256": _file_digest(self._file)})
        write_whole(self._manifest, lambda temporary: temporary.write_text(manifest, encoding="utf-8"))
        self._unsaved = False

    def nearest(self, vectors: NDArray[np.float32], k: int) -> list[list[tuple[str, float]]]:
        """For each row of [n, d], up to k (prompt id, cosine), best first; equal ones in order of id."""
        if self._index is None or not len(vectors) or k < 1:
            return [[] for _ in vectors]
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        if queries.shape[1] != self._index.d:
            raise Unstorable(f"queries have {queries.shape[1]} dimensions, the index {self._index.d}; embed them alike")
        if self._searcher is None:
            self._searcher = _on_gpu(self._index)
        _, hits = self._searcher.search(queries, min(k + TIES, len(self._ids)))
        return [self._ranked(query, row[row >= 0], k) for query, row in zip(queries, hits, strict=True)]

    def _ranked(self, query: NDArray[np.float32], hits: NDArray[np.int64], k: int) -> list[tuple[str, float]]:
        """FAISS's sums depend on the batch in their last bits; these do not."""
        cosines = (self._vectors(hits).astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        found = [(self._ids[hit], float(cosine)) for hit, cosine in zip(hits, cosines, strict=True)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]

    def _vectors(self, positions: Sequence[int] | range | NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._index.reconstruct_batch(np.asarray(positions, dtype=np.int64))
        return found

    def _load(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Take over what is saved, unless it contradicts the vectors."""
        if _problem(self._file, self._manifest) is not None:
            return
        ids = json.loads(self._manifest.read_text(encoding="utf-8"))["ids"]
        index = faiss.read_index(str(self._file))
        if index.ntotal != len(ids) or not vectors.keys() >= set(ids):
            return
        if isinstance(index, faiss.IndexIVF):
            index.make_direct_map()
        elif index.ntotal >= self._flat_below:
            return
        self._index = index
        for start in range(0, len(ids), COMPARED):
            expected = np.stack([vectors[id] for id in ids[start : start + COMPARED]])
            if not np.array_equal(self._vectors(range(start, start + len(expected))), expected):
                self._index = None
                return
        self._ids, self._held = ids, set(ids)


def index_problems(folder: Path) -> list[str]:
    """What is wrong with the indices saved in a folder; one without a manifest is none: its save was cut short."""
    manifests = sorted(folder.glob("index-*.json"))
    return [problem for path in manifests if (problem := _problem(path.with_suffix(".faiss"), path)) is not None]


def unsound_indices(folder: Path) -> list[str]:
    """The names of the saved indices with which something is wrong."""
    manifests = sorted(folder.glob("index-*.json"))
    unsound = [path.stem for path in manifests if _problem(path.with_suffix(".faiss"), path) is not None]
    return [stem.removeprefix("index-") for stem in unsound]


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"index-{name}.faiss", folder / f"index-{name}.json"


def _problem(file: Path, manifest: Path) -> str | None:
    """Why a saved index cannot be used, or None."""
    remedy = "the next run, or `verify --repair`, rebuilds it from the ledger"
    try:
        held = json.loads(manifest.read_text(encoding="utf-8"))
        expected, ids = held["sha256"], held["ids"]
        actual = _file_digest(file)
    except FileNotFoundError as error:
        return f"{error.filename}: this index file is missing; {remedy}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{manifest}: this index manifest is not readable ({error}); {remedy}"
    if actual != expected or not isinstance(ids, list):
        return f"{file}: the index does not match its manifest; {remedy}"
    return None


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(ids: Sequence[str], vectors: NDArray[np.float32], dimension: int | None) -> NDArray[np.float32]:
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if dimension is not None and rows.shape[1] != dimension:
        raise Unstorable(
            f"embeddings have {rows.shape[1]} dimensions, the index {dimension}; use one embedder per index"
        )
    norms = np.linalg.norm(rows, axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1) < 1e-3))  # NaN is wrong, too
    if len(wrong):
        raise Unstorable(
            f"the embedding of prompt {ids[wrong[0]]} has norm {norms[wrong[0]]}, not 1; check the embedder"
        )
    return rows


def _build(vectors: NDArray[np.float32], flat_below: int) -> Any:
    num, dimension = vectors.shape
    flat = faiss.IndexFlatIP(dimension)
    if num < flat_below:
        flat.add(vectors)
        return flat
    # FAISS asks for 39 or more training vectors a list; 4 sqrt(n) lists is its own guideline.
    lists = max(1, min(int(4 * num**0.5), num // 39))
    index = faiss.IndexIVFFlat(flat, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = SEED
    index.nprobe = min(lists, max(16, int(PROBED_SHARE * lists)))
    index.train(vectors)
    index.add(vectors)
    index.make_direct_map()
    return index


def _on_gpu(index: Any) -> Any:
    """A copy on the first GPU, where there is one and the installed faiss can use it; else the index itself."""
    if hasattr(faiss, "index_cpu_to_gpu") and faiss.get_num_gpus() > 0:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    return index
