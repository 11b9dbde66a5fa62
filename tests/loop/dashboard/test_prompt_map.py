"""The map holds every prompt once, as a point or in a cell, and is made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from loop.dashboard.prompt_map import COLUMNS, FEW, ROWS, Plane, Spot, kept_map, prompt_map, spots

LIKE = st.floats(-10, 10, width=32)


@given(st.data(), st.integers(1, 3), st.integers(1, 5))
def test_any_centres_have_a_plane(data: st.DataObject, num: int, dimensions: int) -> None:
    centres = data.draw(arrays(np.float32, (num, dimensions), elements=LIKE))
    points = Plane.through(centres, [0] * num).points(centres)
    assert points.shape == (num, 2)
    assert np.isfinite(points).all()


def test_few_prompts_are_points_and_many_are_cells() -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(20_000, 2))
    deltas = random.random(20_000)
    few = spots(points[:FEW], deltas[:FEW])
    assert [spot.size for spot in few] == [1] * FEW
    many = spots(points, deltas)
    assert len(many) <= COLUMNS * ROWS
    assert sum(spot.size for spot in many) == 20_000
    assert np.average([s.delta for s in many], weights=[s.size for s in many]) == pytest.approx(deltas.mean(), abs=1e-3)


def test_prompts_that_lie_at_one_place_are_one_cell() -> None:
    assert spots(np.zeros((FEW + 1, 2)), np.ones(FEW + 1)) == [Spot(0.0, 0.0, FEW + 1, 1.0)]


def test_a_prompt_lies_where_its_vector_does() -> None:
    vectors = {"a": np.array([3.0, 0.0, 0.0], np.float32), "b": np.array([-3.0, 0.0, 0.0], np.float32)}
    plane = Plane.through(np.stack(list(vectors.values())), [1, 1])
    found = prompt_map(plane, {"a": 1.0, "b": 0.0, "not embedded": 9.0}, lambda ids: vectors)
    assert [(spot.x, spot.y, spot.delta) for spot in found] == [(3.0, 0.0, 1.0), (-3.0, 0.0, 0.0)]
    assert prompt_map(plane, {}, lambda ids: {}) == []


def test_a_map_is_made_once_and_again_where_its_file_is_damaged(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> list[Spot]:
        made.append(1)
        return [Spot(1.0, 2.0, 3, 0.5)]

    for _ in range(2):
        assert kept_map(tmp_path, ["round"], make) == [Spot(1.0, 2.0, 3, 0.5)]
    assert len(made) == 1
    kept_map(tmp_path, ["another"], make)
    for file in tmp_path.glob("*.json"):
        file.write_text('[{"x": 1}]')
    assert kept_map(tmp_path, ["round"], make) == [Spot(1.0, 2.0, 3, 0.5)]
    assert len(made) == 3
