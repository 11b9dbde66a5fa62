"""What a generator is told, and how a user changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.adapters.templates import NAMES, Templates
from store.errors import UsageError

VALUES = {
    "seed": "How many {{ 7 * 7 }} bars?",
    "pictures": 1,
    "asked": ["How many bars?"],
    "skills": ("count",),
    "num": 3,
    "operations": {"value": "one"},
    "marks": ("bar",),
    "question": "How many?",
    "teacher": "3",
    "student": ["4"],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pictures", [0, 1, 2])
def test_shipped_templates_ask_for_json_and_run_nothing_that_a_question_says(name: str, pictures: int) -> None:
    text = Templates().render(name, VALUES | {"pictures": pictures})
    assert "Reply with JSON only" in text
    assert "49" not in text
    assert ("picture" in text) == (pictures > 0 and name != "new_chart")


def test_a_folder_takes_the_place_of_the_files_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "seed_guided.jinja").write_text("{# mine #}Ask {{ num }} about: {{ seed }}\n", encoding="utf-8")
    templates = Templates(str(tmp_path))
    assert templates.render("seed_guided", VALUES) == "Ask 3 about: How many {{ 7 * 7 }} bars?"
    assert templates.render("skill_guided", VALUES) == Templates().render("skill_guided", VALUES)


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("seed_guide.jinja", "", "seed_guide.jinja takes the place of nothing; the files are seed_guided.jinja"),
        ("seed_guided.jinja", "{% if %}", r"seed_guided.jinja:1: "),
        ("seed_guided.jinja", b"\xff", "generation.templates"),
    ],
)
def test_a_wrong_file_is_refused_at_once(tmp_path: Path, file: str, text: str | bytes, reason: str) -> None:
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=reason):
        Templates(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ sede }}", "seed_guided.jinja: 'sede' is undefined"),
        ("{{ seed.__class__.__mro__ }}", "seed_guided.jinja: access to attribute '__class__'"),
        ("{{ asked.append(1) }}", "seed_guided.jinja: "),
        ("{{ 1 // 0 }}", "seed_guided.jinja: "),
    ],
)
def test_a_template_that_fails_or_reaches_out_is_an_error_by_name(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "seed_guided.jinja").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=reason):
        Templates(str(tmp_path)).render("seed_guided", VALUES)
