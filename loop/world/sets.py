"""Mixed sets of items: a pool as sets come, and held-out suites balanced over their families."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from loop.world import easy_vqa
from loop.world.questions import FAMILIES, Family, Question, ask
from loop.world.scenes import Scene, draw, new_scene
from loop.world.tables import Split

if TYPE_CHECKING:
    from PIL import Image

DOMAINS = ("chart", "document", "perception")
SUITES = (*DOMAINS, "unseen", "easy_vqa")
MAX_TRIES = 1000
"""Scenes tried for one question before a family is declared impossible; all admit one within a few."""


@dataclass(frozen=True)
class Item:
    """A question about a picture; the scene is None where the picture comes from easy-vqa."""

    question: Question
    image: Image.Image
    scene: Scene | None


def pool_items(num: int, rng: np.random.Generator, *, easy_share: float, easy_vqa_share: float) -> Iterator[Item]:
    """Yields ``num`` items of the pool's tables and pictures, mixed as sets come.

    Args:
        num: How many.
        rng: Draws everything.
        easy_share: Chance that an item's family is easy, easy-vqa included.
        easy_vqa_share: Chance that an item comes from easy-vqa; at most ``easy_share``.

    Raises:
        ValueError: If the shares are not 0 <= easy_vqa_share <= easy_share <= 1.
    """
    if not 0 <= easy_vqa_share <= easy_share <= 1:
        raise ValueError(f"shares must be 0 <= easy_vqa {easy_vqa_share} <= easy {easy_share} <= 1")
    drawn = [family for family in FAMILIES.values() if family.kinds]
    easy, hard = [f for f in drawn if f.easy], [f for f in drawn if not f.easy]
    for _ in range(num):
        chance = float(rng.random())
        if chance < easy_vqa_share:
            questions = easy_vqa.pool_questions()
            yield _vqa_item(questions[int(rng.integers(len(questions)))], test=False)
        else:
            families = easy if chance < easy_share else hard
            yield _drawn_item(Split.POOL, families[int(rng.integers(len(families)))], rng)


def suite_items(suite: str, num: int | None, rng: np.random.Generator) -> Iterator[Item]:
    """Yields the items of an evaluation suite, family after family in turn so that all are equally frequent.

    Args:
        suite: ``chart``, ``document`` or ``perception`` over held-out tables; ``unseen`` over tables and styles
            that no training or pool scene has; ``easy_vqa``, a sample without repeats of the official test.
        num: How many; None means the whole official test, and is for ``easy_vqa`` alone.
        rng: Draws everything.

    Raises:
        ValueError: If the suite is unknown, or ``num`` is None or too large for it.
    """
    if suite not in SUITES:
        raise ValueError(f"unknown suite {suite!r}: one of {', '.join(SUITES)}")
    if suite == "easy_vqa":
        yield from _easy_vqa_items(num, rng)
        return
    if num is None:
        raise ValueError(f"suite {suite} has no end: say how many items")
    families = suite_families(suite)
    split = Split.UNSEEN if suite == "unseen" else Split.HELD_OUT
    for index in range(num):
        yield _drawn_item(split, families[index % len(families)], rng)


def suite_families(suite: str) -> Sequence[Family]:
    """The families that a suite over scenes is balanced over."""
    return [f for f in FAMILIES.values() if f.kinds and suite in ("unseen", f.domain)]


def _easy_vqa_items(num: int | None, rng: np.random.Generator) -> Iterator[Item]:
    questions = easy_vqa.test_questions()
    if num is not None and num > len(questions):
        raise ValueError(f"the official test of easy-vqa has {len(questions)} questions, not {num}")
    order = range(len(questions)) if num is None else sorted(rng.permutation(len(questions))[:num].tolist())
    for index in order:
        yield _vqa_item(questions[index], test=True)


def _vqa_item(drawn: easy_vqa.VqaQuestion, *, test: bool) -> Item:
    return Item(drawn.question, easy_vqa.open_image(drawn.image_id, test=test), None)


def _drawn_item(split: Split, family: Family, rng: np.random.Generator) -> Item:
    """A scene that admits the family, and the question.

    Raises:
        RuntimeError: If no scene admits it in `MAX_TRIES` tries.
    """
    for _ in range(MAX_TRIES):
        scene = new_scene(split, family.kinds[int(rng.integers(len(family.kinds)))], rng)
        question = ask(scene, family.name, rng)
        if question is not None:
            return Item(question, draw(scene), scene)
    raise RuntimeError(f"no scene of {split} admitted family {family.name} in {MAX_TRIES} tries")
