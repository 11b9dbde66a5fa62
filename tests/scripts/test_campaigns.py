"""The campaign files say every key, and keep what the project promises of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loop.config import CampaignSettings, load_settings
from loop.section import Section

FOLDER = Path(__file__).parents[2] / "scripts" / "campaigns"
NAMES = ("arms", "benchmarks", "embedded", "paper", "smoke")


def load(name: str) -> CampaignSettings:
    return load_settings(FOLDER / f"{name}.toml")


def test_these_are_the_campaign_files() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.toml")) == [f"{name}.toml" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_named_like_its_campaign_and_says_its_rounds_unindented(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert load(name).name == name
    assert load(name).pool.name == name
    assert re.search(r"^rounds = \d+$", text.partition("[")[0], re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "benchmarks"])  # which trains nothing
def test_a_file_says_every_key_there_is(name: str) -> None:
    said = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    assert list(unsaid(load(name), said)) == []


def unsaid(section: Section, said: dict[str, Any]) -> Iterator[str]:
    """The keys of a section, and of those in it, that a file does not say; None cannot be said in TOML."""
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Section):
            yield from (f"{key}.{inner}" for inner in unsaid(value, said.get(key, {})))
        elif key not in said and value is not None:
            yield key


def test_the_main_job_is_as_large_as_promised() -> None:
    settings = load("embedded")
    assert settings.rounds == 3
    assert settings.pool.size >= 600
    assert min(settings.scoring.teacher_samples, settings.scoring.student_samples) >= 8
    assert min(settings.synthesis.seed_guided, settings.synthesis.skill_guided) >= 100
    assert settings.evaluation.questions >= 300


def test_the_paper_campaign_has_the_pair_the_samples_and_the_benchmarks_of_the_paper() -> None:
    paper, benchmarks = load("paper"), load("benchmarks")
    assert (paper.models.teacher, paper.models.student) == (benchmarks.models.teacher, benchmarks.models.student)
    assert paper.engines.teacher.kind == "server"
    assert paper.scoring.teacher_samples == paper.scoring.student_samples == 16
    assert paper.synthesis.synthesizer == "model"
    assert paper.synthesis.min_consistency == 0.5
    assert paper.training.beta == 1
    assert paper.evaluation.tasks == benchmarks.evaluation.tasks


def test_the_benchmarks_are_the_ten_of_the_paper() -> None:
    evaluation = load("benchmarks").evaluation
    assert len(evaluation.tasks) == 10
    assert set(evaluation.main) <= set(evaluation.tasks)
    own = {path.stem for path in Path(evaluation.task_files or "").glob("*.yaml")}
    assert own == {f"visual_probe_{level}" for level in ("easy", "medium", "hard")} <= set(evaluation.tasks)


def test_the_smoke_campaign_has_one_round_of_all_stages() -> None:
    settings = load("smoke")
    assert settings.rounds == 1
    assert settings.synthesis.synthesizer != "none"
    assert min(settings.synthesis.seed_guided, settings.synthesis.skill_guided, settings.training.steps) >= 1
