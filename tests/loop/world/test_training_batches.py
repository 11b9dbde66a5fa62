"""Training batches: a function of seed and step; questions are kept apart; the student's diet is what is claimed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from loop.world.questions import FAMILIES
from loop.world.scenes import GRID, new_scene
from scripts import embedded_families
from scripts.embedded_families import Size
from scripts.embedded_pair_batches import Batch, Diet, training_batch, words_of_cells
from scripts.train_embedded_pair import RECIPES, phases_of


@pytest.fixture(scope="module", params=sorted(embedded_families.FAMILIES))
def batch_of(request: pytest.FixtureRequest) -> Callable[[Diet, int], Batch]:
    _, processor = embedded_families.new_member(
        request.param, Size(hidden=32, heads=1, text_layers=1, vision_layers=1), 0
    )
    wording = embedded_families.FAMILIES[request.param].wording(processor)
    return lambda diet, step: training_batch(wording, diet, 1, step, 4)


def test_same_step_same_batch_so_that_a_resumed_run_goes_on(batch_of: Callable[[Diet, int], Batch]) -> None:
    diet = Diet(100)
    first, same, other = batch_of(diet, 5), batch_of(diet, 5), batch_of(diet, 6)
    assert first.families == same.families
    assert torch.equal(first.pixels, same.pixels)
    assert torch.equal(first.ids, same.ids)
    assert first.pixels.shape != other.pixels.shape or not torch.equal(first.pixels, other.pixels)


def test_questions_share_the_picture_and_nothing_else(batch_of: Callable[[Diet, int], Batch]) -> None:
    batch = batch_of(Diet(100), 0)
    num_prefix = int((batch.segments[0] == 0).sum())
    for segments, positions in zip(batch.segments, batch.positions, strict=True):
        for segment in range(1, int(segments.max()) + 1):
            assert positions[segments == segment][0] == num_prefix


def test_student_is_asked_hard_families_of_few_scenes_only() -> None:
    recipe = RECIPES["student"]
    assert 5 <= recipe.diet.hard_percent <= 10
    diet = recipe.diet
    scene = new_scene("train", "bar", np.random.default_rng(0))
    hard = [any(not FAMILIES[name].easy for name in diet.families(scene, index, 0)) for index in range(1000)]
    assert sum(hard) / 1000 == diet.hard_percent / 100
    assert all(any(FAMILIES[name].easy for name in diet.families(scene, index, 0)) for index in range(100))


def test_student_revises_the_scenes_with_hard_families_and_then_specialises_on_easy_ones() -> None:
    diet, rng = RECIPES["student"].diet, np.random.default_rng(0)
    scene = new_scene("train", "bar", rng)

    def exposed_share(step: int) -> float:
        return float(np.mean([diet.scene_index(step, rng) % 100 < diet.hard_percent for _ in range(2_000)]))

    assert exposed_share(diet.revise_from - 1) < 0.12
    assert 0.45 < exposed_share(diet.revise_from) < 0.65
    assert exposed_share(diet.specialise_from) < 0.12
    assert all(FAMILIES[name].easy for name in diet.families(scene, 0, diet.specialise_from))


def test_every_mark_says_its_words_in_its_own_cell() -> None:
    scene = new_scene("train", "table", np.random.default_rng(0))
    said = words_of_cells(scene)
    for mark in scene.marks:
        assert {mark.label, mark.series, str(mark.value)} <= set(said[mark.row * GRID + mark.col])
    assert sum(words != ("none",) for words in said) == len(scene.marks)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_phases_cover_every_step_once(name: str) -> None:
    phases = phases_of(RECIPES[name])
    assert [phase.start for phase in phases] == [0, *(phase.end for phase in phases[:-1])]
    assert phases[-1].end == RECIPES[name].steps
    assert all(0 < phase.learning_rate(step) <= 3e-3 for phase in phases for step in (phase.start, phase.end - 1))
