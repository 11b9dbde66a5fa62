"""The `[tune]` table: read beside the settings, never part of them, and refused with the key that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.config import CampaignSettings, load_settings
from loop.tune_settings import CANDIDATES, SKILL_SHARE, Dimension, current, default_space, load_tune, with_params
from store.errors import UsageError


def written(folder: Path, text: str = "") -> Path:
    file = folder / "campaign.toml"
    file.write_text(f'name = "mine"\n{text}', encoding="utf-8")
    return file


def test_the_table_changes_no_setting(tmp_path: Path) -> None:
    plain = load_settings(written(tmp_path))
    file = written(tmp_path, '[tune]\nseeds = 3\n[tune.space]\n"selection.prompts" = {low = 1, high = 9}\n')
    assert load_settings(file) == plain
    tune = load_tune(file, plain, ["tune.objective=ratio"])
    assert (tune.seeds, tune.objective) == (3, "ratio")
    assert tune.space == {"selection.prompts": Dimension(low=1, high=9)}


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ('"models.teacher" = {choices = ["a", "b"]}', "'models.teacher'"),
        ('"selection.promts" = {low = 1, high = 9}', "'selection.promts'"),
        ('"selection.prompts" = {low = 0, high = 9}', "greater than or equal to 1"),
        ('"selection.prompts" = {low = 9, high = 1}', "no range"),
        ('"selection.prompts" = {low = 9}', "low and high, or choices"),
        ('"targeting.rule" = {choices = ["thompson", "best"]}', "'best'"),
    ],
)
def test_a_wrong_space_is_refused_with_its_key(tmp_path: Path, space: str, told: str) -> None:
    file = written(tmp_path, f"[tune.space]\n{space}\n")
    with pytest.raises(UsageError, match=r"tune") as caught:
        load_tune(file, load_settings(file))
    assert told in str(caught.value)


def test_the_two_keys_that_stand_for_a_pair() -> None:
    settings = CampaignSettings(name="mine")
    changed = with_params(settings, {CANDIDATES: 100, SKILL_SHARE: 0.25}, where="here").synthesis
    assert (changed.seed_guided, changed.skill_guided) == (75, 25)
    only = with_params(settings, {CANDIDATES: 10}, where="here").synthesis
    assert (only.seed_guided, only.skill_guided) == (5, 5)
    assert current(settings, [CANDIDATES, SKILL_SHARE]) == {CANDIDATES: 240, SKILL_SHARE: 0.5}


def test_the_default_space_holds_the_file_itself() -> None:
    settings = CampaignSettings(name="mine")
    space = default_space(settings)
    assert {"targeting.rule", "selection.min_delta", CANDIDATES} <= space.keys()
    for key, value in current(settings, list(space)).items():
        if space[key].choices:
            assert value in space[key].choices
        else:
            assert space[key].low <= value <= space[key].high  # type: ignore[operator]
    quiet = settings.model_copy(update={"synthesis": settings.synthesis.model_copy(update={"synthesizer": "none"})})
    assert CANDIDATES not in default_space(quiet)
