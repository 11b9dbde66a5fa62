"""The index finds what a plain sort finds, and whatever is wrong with its files, it is rebuilt to the same answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from store.errors import Unstorable
from store.index import PoolIndex, index_name, index_problems
from tests.store.facts import unit_vectors

IDS = [f"id{n:03}" for n in range(60)]
VECTORS = unit_vectors(IDS)
QUERIES = np.stack(list(unit_vectors([f"query{n}" for n in range(7)], seed=1).values()))


def brute_force(vectors: dict[str, np.ndarray], k: int) -> list[list[str]]:
    ids, matrix = list(vectors), np.stack(list(vectors.values())).astype(np.float64)
    return [[ids[row] for row in np.argsort(-(matrix @ query))[:k]] for query in QUERIES.astype(np.float64)]


def ids_of(found: list[list[tuple[str, float]]]) -> list[list[str]]:
    return [[id for id, _ in row] for row in found]


def clusters(num: int, seed: int = 3) -> dict[str, np.ndarray]:
    """Unit vectors around 20 directions: what an IVF index is good at."""
    rng = np.random.default_rng(seed)
    made = rng.normal(size=(20, 8))[rng.integers(20, size=num)] + 0.1 * rng.normal(size=(num, 8))
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return {f"id{n:05}": vector for n, vector in enumerate(made.astype(np.float32))}


def test_the_nearest_are_those_of_a_plain_sort(tmp_path: Path) -> None:
    index = PoolIndex.open(tmp_path, "pool", VECTORS)
    found = index.nearest(QUERIES, 5)
    assert ids_of(found) == brute_force(VECTORS, 5)
    assert [row[0][1] for row in found] == pytest.approx(
        [float(VECTORS[row[0][0]] @ query) for row, query in zip(found, QUERIES, strict=True)], abs=1e-6
    )
    assert index.is_exact


def test_a_vector_is_nearest_to_itself(tmp_path: Path) -> None:
    index = PoolIndex.open(tmp_path, "pool", VECTORS)
    [[(id, cosine)]] = index.nearest(VECTORS["id007"][None], 1)
    assert id == "id007"
    assert cosine == pytest.approx(1.0, abs=1e-6)


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    index = PoolIndex.open(tmp_path, "pool", {})
    assert index.nearest(QUERIES, 3) == [[]] * len(QUERIES)
    index.save()
    assert list(tmp_path.iterdir()) == []
    index.add(IDS, np.stack([VECTORS[id] for id in IDS]))
    assert ids_of(index.nearest(QUERIES, 3)) == brute_force(VECTORS, 3)


def test_more_neighbours_than_there_are(tmp_path: Path) -> None:
    few = {id: VECTORS[id] for id in IDS[:3]}
    assert ids_of(PoolIndex.open(tmp_path, "pool", few).nearest(QUERIES, 10)) == brute_force(few, 10)
    assert PoolIndex.open(tmp_path, "pool", few).nearest(QUERIES[:0], 10) == []


def test_known_ids_are_skipped(tmp_path: Path) -> None:
    index = PoolIndex.open(tmp_path, "pool", VECTORS)
    other = np.stack([VECTORS["id001"]] * 3)
    index.add(["id000", "new", "new"], other)
    assert len(index) == len(IDS) + 1
    assert {id for id, _ in index.nearest(VECTORS["id001"][None], 2)[0]} == {"id001", "new"}


def test_ties_are_in_order_of_id_whatever_the_order_of_insertion(tmp_path: Path) -> None:
    names = ["c", "a", "e", "b", "d"]
    answers = []
    for order in (names, names[::-1], sorted(names)):
        index = PoolIndex(tmp_path, "pool")
        index.add(IDS[:30], np.stack([VECTORS[id] for id in IDS[:30]]))
        index.add(order, np.stack([QUERIES[0]] * len(order)))
        answers.append(index.nearest(QUERIES[:1], 3))
        assert ids_of(answers[-1]) == [["a", "b", "c"]]
    assert answers[0] == answers[1] == answers[2]


def test_neither_the_batch_of_queries_nor_the_order_of_insertion_changes_a_bit(tmp_path: Path) -> None:
    forward, backward = PoolIndex(tmp_path, "f"), PoolIndex(tmp_path, "b")
    forward.add(IDS, np.stack([VECTORS[id] for id in IDS]))
    backward.add(IDS[::-1], np.stack([VECTORS[id] for id in IDS[::-1]]))
    many = np.concatenate([QUERIES] * 10)
    assert forward.nearest(many, 4) == backward.nearest(many, 4)
    assert forward.nearest(many, 4)[:1] == forward.nearest(QUERIES[:1], 4)


@pytest.mark.parametrize("flat_below", [50_000, 1_000])
def test_a_saved_index_is_taken_over(tmp_path: Path, flat_below: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clusters(1_200)
    index = PoolIndex.open(tmp_path, "pool", vectors, flat_below=flat_below)
    index.save()
    expected = index.nearest(QUERIES, 5)
    monkeypatch.setattr("store.index._build", None)  # whoever builds, fails
    again = PoolIndex.open(tmp_path, "pool", vectors, flat_below=flat_below)
    assert again.nearest(QUERIES, 5) == expected
    assert again.is_exact == index.is_exact == (flat_below == 50_000)
    assert index_problems(tmp_path) == []


def _remove_index(folder: Path) -> None:
    (folder / "index-pool.faiss").unlink()


def _remove_manifest(folder: Path) -> None:
    (folder / "index-pool.json").unlink()


def _truncate_index(folder: Path) -> None:
    data = (folder / "index-pool.faiss").read_bytes()
    (folder / "index-pool.faiss").write_bytes(data[: len(data) // 2])


def _truncate_manifest(folder: Path) -> None:
    text = (folder / "index-pool.json").read_text()
    (folder / "index-pool.json").write_text(text[: len(text) // 2])


def _garble_manifest(folder: Path) -> None:
    (folder / "index-pool.json").write_text('["not", "a", "manifest"]')


def _flip_bit(folder: Path) -> None:
    data = bytearray((folder / "index-pool.faiss").read_bytes())
    data[-5] ^= 1
    (folder / "index-pool.faiss").write_bytes(data)


def _swap_ids(folder: Path) -> None:
    manifest = json.loads((folder / "index-pool.json").read_text())
    manifest["ids"][:2] = manifest["ids"][1::-1]
    (folder / "index-pool.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "damage",
    [
        _remove_index,
        _remove_manifest,
        _truncate_index,
        _truncate_manifest,
        _garble_manifest,
        _flip_bit,
        _swap_ids,
    ],
)
@pytest.mark.parametrize("flat_below", [50_000, 1_000])
def test_a_damaged_index_is_rebuilt(tmp_path: Path, damage: Callable[[Path], None], flat_below: int) -> None:
    vectors = clusters(1_200)
    index = PoolIndex.open(tmp_path, "pool", vectors, flat_below=flat_below)
    index.save()
    damage(tmp_path)
    again = PoolIndex.open(tmp_path, "pool", vectors, flat_below=flat_below)
    assert again.nearest(QUERIES, 5) == index.nearest(QUERIES, 5)
    again.save()
    assert index_problems(tmp_path) == []


def test_an_index_that_lacks_the_newest_gets_them(tmp_path: Path) -> None:
    PoolIndex.open(tmp_path, "pool", {id: VECTORS[id] for id in IDS[:40]}).save()
    assert ids_of(PoolIndex.open(tmp_path, "pool", VECTORS).nearest(QUERIES, 5)) == brute_force(VECTORS, 5)


def test_an_index_that_holds_more_than_the_ledger_is_rebuilt(tmp_path: Path) -> None:
    PoolIndex.open(tmp_path, "pool", VECTORS).save()
    fewer = {id: VECTORS[id] for id in IDS[:40]}
    again = PoolIndex.open(tmp_path, "pool", fewer)
    assert len(again) == 40
    assert ids_of(again.nearest(QUERIES, 5)) == brute_force(fewer, 5)


def test_an_index_of_other_vectors_is_rebuilt(tmp_path: Path) -> None:
    PoolIndex.open(tmp_path, "pool", unit_vectors(IDS, seed=9)).save()
    assert ids_of(PoolIndex.open(tmp_path, "pool", VECTORS).nearest(QUERIES, 5)) == brute_force(VECTORS, 5)
    wider = unit_vectors(IDS, d=16)
    assert len(PoolIndex.open(tmp_path, "pool", wider)) == len(IDS)


def test_above_the_threshold_the_index_is_approximate_and_finds_nearly_the_same(tmp_path: Path) -> None:
    vectors = clusters(3_000)
    index = PoolIndex.open(tmp_path, "pool", vectors, flat_below=2_000)
    assert not index.is_exact
    found, exact = ids_of(index.nearest(QUERIES, 10)), brute_force(vectors, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, exact, strict=True)])
    assert recall >= 0.9


def test_growing_over_the_threshold_changes_the_kind_and_loses_nothing(tmp_path: Path) -> None:
    vectors = clusters(1_200)
    ids, matrix = list(vectors), np.stack(list(vectors.values()))
    index = PoolIndex(tmp_path, "pool", flat_below=1_000)
    index.add(ids[:900], matrix[:900])
    assert index.is_exact
    index.add(ids[900:], matrix[900:])
    assert not index.is_exact
    assert [row[0][0] for row in index.nearest(matrix, 1)] == ids
    assert index.nearest(QUERIES, 5) == PoolIndex.open(tmp_path, "q", vectors, flat_below=1_000).nearest(QUERIES, 5)


def test_what_is_no_unit_vector_is_refused(tmp_path: Path) -> None:
    index = PoolIndex.open(tmp_path, "pool", VECTORS)
    bad = np.stack([VECTORS["id000"], np.full(8, np.nan, np.float32)])
    with pytest.raises(Unstorable, match="second"):
        index.add(["first", "second"], bad)
    with pytest.raises(Unstorable, match="long"):
        index.add(["long"], 2 * VECTORS["id000"][None])
    with pytest.raises(Unstorable, match="16 dimensions"):
        index.add(["wide"], unit_vectors(["wide"], d=16)["wide"][None])
    with pytest.raises(Unstorable, match="16 dimensions"):
        index.nearest(unit_vectors(["wide"], d=16)["wide"][None], 1)
    assert len(index) == len(IDS)


def test_a_save_that_was_cut_short_is_no_problem_but_a_damaged_index_is(tmp_path: Path) -> None:
    PoolIndex.open(tmp_path, "pool", VECTORS).save()
    _flip_bit(tmp_path)
    [problem] = index_problems(tmp_path)
    assert "index-pool.faiss" in problem
    _remove_index(tmp_path)
    [problem] = index_problems(tmp_path)
    assert "missing" in problem
    PoolIndex.open(tmp_path, "pool", VECTORS).save()
    _remove_manifest(tmp_path)
    assert index_problems(tmp_path) == []


def test_a_gpu_is_used_where_faiss_offers_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in for faiss-gpu: an exact index that notes that it was asked.
    asked = []

    class OnGpu:
        def __init__(self, index: faiss.Index) -> None:
            self._index = index

        def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            asked.append(len(queries))
            return self._index.search(queries, k)

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", lambda resources, gpu, index: OnGpu(index), raising=False)
    index = PoolIndex.open(tmp_path, "pool", VECTORS)
    assert ids_of(index.nearest(QUERIES, 5)) == brute_force(VECTORS, 5)
    index.add(["new"], QUERIES[:1])
    assert index.nearest(QUERIES, 1)[0][0][0] == "new"
    assert asked == [len(QUERIES)] * 2
    index.save()
    assert index_problems(tmp_path) == []


def test_an_index_is_named_by_pool_and_embedder() -> None:
    names = {index_name("p", "e"), index_name("p", "f"), index_name("q", "e")}
    assert len(names) == 3
    assert all(set(name) <= set("pq-0123456789abcdef") for name in names)
