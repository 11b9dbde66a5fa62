"""Training batches: a function of seed and step; questions are kept apart; the student's diet is what is claimed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from loop.embedded.architecture import build_processor
from loop.world.questions import FAMILIES
from loop.world.scenes import GRID, IMAGE_SIZE, new_scene
from loop.world.vocabulary import world_words
from scripts.embedded_pair_batches import Batch, Diet, training_batch, words_of_cells
from scripts.train_embedded_pair import PATCH, RECIPES, SCALE, phases_of

NEVER = 10**9


@pytest.fixture(scope="module")
def batch_of() -> Callable[[Diet, int], Batch]:
    processor = build_processor(world_words(), image_size=IMAGE_SIZE, patch=PATCH, scale=SCALE)
    return lambda diet, step: training_batch(processor, diet, 1, step, 4)


def test_same_step_same_batch_so_that_a_resumed_run_goes_on(batch_of: Callable[[Diet, int], Batch]) -> None:
    diet = Diet(100, NEVER, NEVER)
    first, same, other = batch_of(diet, 5), batch_of(diet, 5), batch_of(diet, 6)
    assert first.families == same.families
    assert torch.equal(first.pixels, same.pixels)
    assert torch.equal(first.ids, same.ids)
    assert first.pixels.shape != other.pixels.shape or not torch.equal(first.pixels, other.pixels)


def test_questions_share_the_picture_and_nothing_else(batch_of: Callable[[Diet, int], Batch]) -> None:
    batch = batch_of(Diet(100, NEVER, NEVER), 0)
    num_prefix = int((batch.segments[0] == 0).sum())
    for segments, positions in zip(batch.segments, batch.positions, strict=True):
        for segment in range(1, int(segments.max()) + 1):
            assert positions[segments == segment][0] == num_prefix


def test_student_is_asked_hard_families_of_few_scenes_only() -> None:
    recipe = RECIPES["student"]
    assert 5 <= recipe.hard_percent <= 10
    diet = Diet(recipe.hard_percent, NEVER, NEVER)
    scene = new_scene("train", "bar", np.random.default_rng(0))
    hard = [any(not FAMILIES[name].easy for name in diet.families(scene, index)) for index in range(1000)]
    assert sum(hard) / 1000 == recipe.hard_percent / 100
    assert all(any(FAMILIES[name].easy for name in diet.families(scene, index)) for index in range(100))


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
    assert phases[-1].end == RECIPES[name].steps >= RECIPES[name].stop_at
    assert all(0 < phase.learning_rate(step, 100) <= 2e-3 for phase in phases for step in (phase.start, phase.end - 1))
