"""Proposals are new, repeatable, about the seeds' own images, and of the asked skills."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from loop.adapters.procedural import NoSynthesizer, ProceduralSynthesizer
from loop.adapters.sources import read_source
from loop.config import Pool
from loop.ports import Wanted
from loop.work import Work
from loop.world import easy_vqa
from loop.world.questions import FAMILIES, ask, families_of
from loop.world.scenes import from_json
from store.blobs import FileBlobs
from store.records import Origin, Prompt, Role, Spent, Version, prompt_id
from tests.fakes import fake_settings

SYNTHESIZER = ProceduralSynthesizer()
COMPARE = FAMILIES["chart_compare"].skill


def work() -> Work:
    return Work("fake", 1, fake_settings(), Version("t" * 64, Role.TEACHER, "fake:teacher"))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Prompt]:
    blobs = FileBlobs(tmp_path_factory.mktemp("blobs"))
    return [prompt for prompt in read_source(Pool(size=60), blobs) if isinstance(prompt, Prompt)]


@pytest.mark.parametrize("skills", [(), (COMPARE, FAMILIES["shape_size"].skill)])
def test_proposals_are_new_and_repeatable(seeds: list[Prompt], skills: tuple[str, ...]) -> None:
    first = SYNTHESIZER.write(seeds, 100, skills=skills, seed=3)
    ids = [prompt_id(row.question, row.images) for row in first]
    assert len(ids) == 100
    assert len(set(ids)) == 100
    assert not set(ids) & {prompt.id for prompt in seeds}
    assert SYNTHESIZER.write(seeds, 100, skills=skills, seed=3) == first
    assert SYNTHESIZER.write(seeds, 100, skills=skills, seed=4) != first


def test_images_are_reused_and_the_parent_is_the_seed(seeds: list[Prompt]) -> None:
    by_id = {prompt.id: prompt for prompt in seeds}
    for row in SYNTHESIZER.write(seeds, 100, seed=3):
        parent = by_id[row.parent]
        assert row.images == parent.images
        assert row.attributes.get("scene") == parent.attributes.get("scene")


def test_a_proposal_asks_what_its_family_asks_of_its_scene(seeds: list[Prompt]) -> None:
    for row in SYNTHESIZER.write(seeds, 60, seed=5):
        family = FAMILIES[row.attributes["family"]]
        assert (row.attributes["domain"], row.attributes["skill"]) == (family.domain, family.skill)
        if family.name == "easy_vqa":
            assert row.question in {drawn.question.text for drawn in easy_vqa.pool_questions()}
            continue
        scene = from_json(row.attributes["scene"])
        rng = np.random.default_rng(0)
        asked = [ask(scene, family.name, rng) for _ in range(400)]
        answers = {question.answer for question in asked if question is not None and question.text == row.question}
        assert len(answers) == 1, f"the scene gives {row.question!r} one gold answer"


def test_only_families_of_the_asked_skills(seeds: list[Prompt]) -> None:
    rows = SYNTHESIZER.write(seeds, 100, skills=(COMPARE, FAMILIES["shape_size"].skill), seed=3)
    assert {row.attributes["family"] for row in rows} == {"chart_compare", "shape_size"}


def test_a_seed_that_does_not_admit_the_skill_is_passed_over(seeds: list[Prompt]) -> None:
    charts = [seed for seed in seeds if seed.attributes["family"] == "chart_read"][:1]
    forms = [seed for seed in seeds if seed.attributes["family"] == "form_field"]
    rows = SYNTHESIZER.write([*forms, *charts], 2, skills=(COMPARE,), seed=0)
    assert {row.parent for row in rows} == {charts[0].id}
    assert SYNTHESIZER.write(forms, 10, skills=(COMPARE,), seed=0) == ()


def test_without_skills_families_are_as_frequent_as_the_scenes_admit_them(seeds: list[Prompt]) -> None:
    bars = [seed for seed in seeds if seed.attributes.get("scene", "").startswith('{"kind": "bar"')]
    admitted = families_of(from_json(bars[0].attributes["scene"]))
    drawn = Counter(
        row.attributes["family"] for seed in range(150) for row in SYNTHESIZER.write(bars, len(bars), seed=seed)
    )
    mean = drawn.total() / len(admitted)
    frequent = [name for name in admitted if name not in ("chart_count", "chart_difference", "chart_two_step")]
    assert all(0.6 * mean < drawn[name] < 1.7 * mean for name in frequent), drawn
    assert set(drawn) == set(admitted)


def test_fewer_come_when_ideas_run_out(seeds: list[Prompt]) -> None:
    counts = FAMILIES["chart_count"].skill
    charts = [seed for seed in seeds if seed.attributes["family"] == "chart_compare"][:3]
    rows = SYNTHESIZER.write(charts, 50, skills=(counts,), seed=0)
    assert {row.question for row in rows} == {"how many values are shown ?"}
    assert len(rows) == len({seed.images for seed in charts})


def test_seeds_are_used_evenly(seeds: list[Prompt]) -> None:
    scenes = [seed for seed in seeds if "scene" in seed.attributes][:10]
    used = Counter(row.parent for row in SYNTHESIZER.write(scenes, 20, seed=1))
    assert set(used.values()) <= {1, 2, 3}
    assert len(used) == 10


def test_easy_vqa_pictures_are_asked_in_the_words_of_their_set(seeds: list[Prompt]) -> None:
    pictures = [seed for seed in seeds if seed.attributes["family"] == "easy_vqa"][:4]
    rows = SYNTHESIZER.write(pictures, 12, seed=2)
    assert len(rows) == 12
    assert {row.attributes["skill"] for row in rows} == {FAMILIES["easy_vqa"].skill}
    assert SYNTHESIZER.write(pictures, 12, skills=(COMPARE,), seed=2) == ()


def test_foreign_seeds_no_seeds_and_no_budget_give_nothing(seeds: list[Prompt]) -> None:
    assert SYNTHESIZER.write([Prompt.make("what is this ?")], 5, seed=0) == ()
    assert SYNTHESIZER.write([], 5, seed=0) == ()
    assert SYNTHESIZER.write(seeds, 0, seed=0) == ()


def test_the_null_synthesizer_proposes_nothing(seeds: list[Prompt]) -> None:
    wanted = [Wanted(tuple(seeds), 10, (COMPARE,), seed) for seed in range(2)]
    assert NoSynthesizer().propose(work(), Origin.SKILL_GUIDED, wanted).proposals == ((), ())


def test_each_region_gets_what_is_wanted_there(seeds: list[Prompt]) -> None:
    wanted = [Wanted(tuple(seeds), 5, (COMPARE,), 1), Wanted(tuple(seeds), 0, (), 1), Wanted(tuple(seeds), 7, (), 2)]
    proposed = SYNTHESIZER.propose(work(), Origin.SEED_GUIDED, wanted)
    assert [len(rows) for rows in proposed.proposals] == [5, 0, 7]
    assert proposed.proposals[2] == SYNTHESIZER.write(seeds, 7, seed=2)
    assert proposed.spent == Spent()
