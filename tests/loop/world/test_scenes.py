"""Scenes: splits share no table, drawing is a function of the scene, JSON is lossless and checked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from loop.world import tables
from loop.world.drawing import STYLE_BY_NAME
from loop.world.scenes import (
    GRID,
    IMAGE_SIZE,
    KINDS,
    STYLES,
    TOP_VALUE,
    UNSEEN_STYLES,
    Scene,
    draw,
    from_json,
    new_scene,
    to_json,
)
from loop.world.tables import Split, draw_series, load_column, sources_of


def _scenes(split: Split, num: int = 40) -> list[Scene]:
    rng = np.random.default_rng(3)
    return [new_scene(split, KINDS[index % len(KINDS)], rng) for index in range(num)]


def test_splits_share_no_table() -> None:
    names = [source.name for source in tables.SOURCES]
    assert len(names) == len(set(names))
    shown = {split: {scene.table for scene in _scenes(split, 200)} for split in Split}
    for split, seen in shown.items():
        assert seen <= {source.name for source in sources_of(split)}
        assert len(seen) >= 2
        for other in Split:
            assert other is split or not seen & shown[other]


def test_sets_that_two_wheels_carry_are_in_one_split() -> None:
    """The cars, the irises, the antibiotics and Anscombe's quartet come under two names."""
    for twins in (("cars.", "auto-mpg.csv"), ("iris.",), ("burtin.", "antibiotics."), ("anscombe.",), ("stocks.",)):
        splits = {source.split for source in tables.SOURCES if source.file.startswith(twins)}
        assert len(splits) == 1


@pytest.mark.parametrize("source", tables.SOURCES, ids=lambda source: source.name)
def test_every_column_is_real_numbers(source: tables.Source) -> None:
    for column in source.columns:
        assert len(set(load_column(source.package, source.file, column))) >= 4


def test_unseen_styles_are_unseen() -> None:
    assert not set(STYLES) & set(UNSEEN_STYLES)
    assert set(STYLES) | set(UNSEEN_STYLES) == set(STYLE_BY_NAME)
    assert {scene.style for scene in _scenes(Split.UNSEEN)} <= set(UNSEEN_STYLES)
    assert {scene.style for scene in _scenes(Split.TRAIN)} <= set(STYLES)


@pytest.mark.parametrize("split", Split)
def test_json_round_trip_keeps_scene_and_pixels(split: Split) -> None:
    for scene in _scenes(split):
        again = from_json(to_json(scene))
        assert again == scene
        assert draw(again).tobytes() == draw(scene).tobytes()


def test_same_seed_same_scene_other_seed_another() -> None:
    first, same, other = (new_scene("train", "bar", np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == same != other


@pytest.mark.parametrize("split", Split)
def test_marks_stay_on_the_grid_and_apart(split: Split) -> None:
    for scene in _scenes(split, 400):
        places = [(mark.col, mark.row) for mark in scene.marks]
        assert len(places) == len(set(places))
        assert all(0 <= col < GRID and 0 <= row < GRID for col, row in places)
        assert all(1 <= mark.value <= TOP_VALUE for mark in scene.marks)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_mark_changes_the_picture(kind: str) -> None:
    """What the gold answer rests on must be visible."""
    fields = ("colour", "shape", "size") if kind == "shapes" else ("label", "value")
    other = {"colour": "teal", "shape": "cross", "size": "large", "label": "h", "value": 11}
    scene = new_scene("train", kind, np.random.default_rng(5))
    for field in fields:
        data = json.loads(to_json(scene))
        if data["marks"][0][field] == other[field]:
            continue
        data["marks"][0][field] = other[field]
        assert draw(from_json(json.dumps(data))).tobytes() != draw(scene).tobytes(), field


def test_picture_is_a_square_of_rgb() -> None:
    picture = draw(new_scene("pool", "pie", np.random.default_rng(0)))
    assert picture.mode == "RGB"
    assert picture.size == (IMAGE_SIZE, IMAGE_SIZE)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"kind": "bar"}', '{"marks": [{"no": 1}]}'])
def test_json_that_is_no_scene_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not the JSON of a scene|Expecting value"):
        from_json(text)


def test_unknown_kind_and_split_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of scene 'radar'"):
        new_scene("train", "radar", np.random.default_rng(0))
    with pytest.raises(ValueError, match="nowhere"):
        new_scene("nowhere", "bar", np.random.default_rng(0))
    bar = json.loads(to_json(new_scene("train", "bar", np.random.default_rng(0))))
    with pytest.raises(ValueError, match="unknown kind"):
        from_json(json.dumps(bar | {"kind": "radar"}))


def test_more_distinct_values_than_fit_are_refused_rather_than_sought_for_ever() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        draw_series(Split.TRAIN, 10, 9, np.random.default_rng(0))
