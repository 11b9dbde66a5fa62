"""The table of answers that are the same, and of those that are not: tests/assets/answers.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from policies.answers import canonical

TABLE = tomllib.loads((Path(__file__).parents[1] / "assets" / "answers.toml").read_text(encoding="utf-8"))
SAME = [
    (spelling, form)
    for forms in TABLE["same"].values()
    for form, spellings in forms.items()
    for spelling in (form, *spellings)
]
APART = [tuple(pair) for pairs in TABLE["apart"].values() for pair in pairs]


@pytest.mark.parametrize(("spelling", "form"), SAME)
def test_spellings_of_one_answer_have_its_form(spelling: str, form: str) -> None:
    assert canonical(spelling) == form


@pytest.mark.parametrize(("one", "other"), APART)
def test_different_answers_have_different_forms(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


def test_no_two_forms_of_the_table_are_one_answer() -> None:
    forms = {form for _, form in SAME}
    assert len({canonical(form) for form in forms}) == len(forms)


def test_the_table_is_not_cut_short() -> None:
    assert len(SAME) + len(APART) >= 500
