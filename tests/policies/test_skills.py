"""Names that mean the same, and the order of a region's skills."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from policies.skills import merge, rank


def unit(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_a_name_stands_for_those_near_it_and_the_earlier_one_leads() -> None:
    stands_for = merge(["a", "b", "c", "d"], unit(0, 10, 90, 85), cosine=0.97)
    assert stands_for == {"a": "a", "b": "a", "c": "c", "d": "c"}


def test_a_chain_of_near_names_does_not_become_one() -> None:
    assert merge(["a", "b", "c"], unit(0, 10, 20), cosine=0.97) == {"a": "a", "b": "a", "c": "c"}


@given(st.lists(st.floats(0, 360), min_size=1, max_size=20), st.floats(0.5, 1.0))
def test_leaders_are_apart_and_everybody_is_near_the_leader(degrees: list[float], cosine: float) -> None:
    names, vectors = [str(index) for index in range(len(degrees))], unit(*degrees)
    stands_for = merge(names, vectors, cosine=cosine)
    leaders = sorted({int(name) for name in stands_for.values()})
    between = vectors[leaders] @ vectors[leaders].T
    assert np.all(between[~np.eye(len(leaders), dtype=bool)] < cosine)
    for name, leader in stands_for.items():
        assert name == leader or float(vectors[int(name)] @ vectors[int(leader)]) >= cosine - 1e-6


def test_skills_named_now_come_by_weight_then_those_of_before() -> None:
    assert rank({"b": 1.0, "a": 1.0, "c": 3.0}, ("old", "a"), 9) == ("c", "a", "b", "old")
    assert rank({"b": 1.0}, ("old", "older"), 2) == ("b", "old")
    assert rank({}, (), 3) == ()
