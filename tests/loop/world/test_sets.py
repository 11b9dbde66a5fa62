"""Sets: suites are balanced and repeatable, the pool mixes as asked, easy-vqa is split by its pictures."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from loop.world import easy_vqa, sets
from loop.world.questions import FAMILIES
from loop.world.sets import Item, pool_items, suite_families, suite_items
from loop.world.tables import Split, sources_of


def _suite(name: str, num: int, seed: int = 0) -> list[Item]:
    return list(suite_items(name, num, np.random.default_rng(seed)))


@pytest.mark.parametrize("suite", ["chart", "document", "perception", "unseen"])
def test_suites_are_balanced_over_their_families(suite: str) -> None:
    families = suite_families(suite)
    counts = Counter(item.question.family for item in _suite(suite, 4 * len(families)))
    assert counts == {family.name: 4 for family in families}


@pytest.mark.parametrize(("suite", "split"), [("chart", Split.HELD_OUT), ("unseen", Split.UNSEEN)])
def test_suites_use_the_tables_of_their_split(suite: str, split: Split) -> None:
    allowed = {source.name for source in sources_of(split)}
    assert {item.scene.table for item in _suite(suite, 60) if item.scene} <= allowed


def test_suites_repeat_with_their_seed() -> None:
    first, same, other = _suite("unseen", 30), _suite("unseen", 30), _suite("unseen", 30, seed=1)
    assert [item.question for item in first] == [item.question for item in same]
    assert [item.image.tobytes() for item in first] == [item.image.tobytes() for item in same]
    assert [item.question for item in first] != [item.question for item in other]


def test_official_test_is_whole_and_its_sample_has_no_repeats() -> None:
    assert len(easy_vqa.test_questions()) == 9673
    sample = _suite("easy_vqa", 50)
    assert len({(item.question.text, item.image.tobytes()) for item in sample}) == 50
    assert {item.scene for item in sample} == {None}
    with pytest.raises(ValueError, match="9673"):
        _suite("easy_vqa", 9674)


def test_easy_vqa_pictures_are_split_between_training_and_pool() -> None:
    train = {question.image_id for question in easy_vqa.train_questions()}
    pool = {question.image_id for question in easy_vqa.pool_questions()}
    assert not train & pool
    assert len(train) > len(pool) > 500


def test_easy_vqa_rationales_never_contradict_the_answer() -> None:
    for drawn in easy_vqa.train_questions()[:3000]:
        question = drawn.question
        if question.answer not in ("yes", "no"):
            assert question.answer in question.rationale.split(), question


def test_pool_mixes_as_asked() -> None:
    items = list(pool_items(400, np.random.default_rng(1), easy_share=0.7, easy_vqa_share=0.2))
    easy = sum(FAMILIES[item.question.family].easy for item in items) / 400
    vqa = sum(item.scene is None for item in items) / 400
    assert abs(easy - 0.7) < 0.08
    assert abs(vqa - 0.2) < 0.07
    allowed = {source.name for source in sources_of(Split.POOL)}
    assert {item.scene.table for item in items if item.scene} <= allowed


@pytest.mark.parametrize(("easy", "vqa"), [(0.2, 0.3), (1.2, 0.1), (0.5, -0.1)])
def test_impossible_shares_are_refused(easy: float, vqa: float) -> None:
    with pytest.raises(ValueError, match="shares must be"):
        next(pool_items(1, np.random.default_rng(0), easy_share=easy, easy_vqa_share=vqa))


def test_unknown_suite_and_endless_suite_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown suite 'holiday'"):
        _suite("holiday", 1)
    with pytest.raises(ValueError, match="has no end"):
        next(suite_items("chart", None, np.random.default_rng(0)))


def test_a_family_that_no_scene_admits_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "ask", lambda *_: None)
    monkeypatch.setattr(sets, "MAX_TRIES", 20)
    with pytest.raises(RuntimeError, match="admitted family chart_read in 20 tries"):
        next(suite_items("chart", 1, np.random.default_rng(0)))
