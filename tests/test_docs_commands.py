"""The commands in the docs: those of the tutorial are run, all others are read by the program's own parser."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer

from loop.cli import app
from policies import selection
from policies.selection import Choices, select
from tests.conftest import ROOT, Calls

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md") if path.name != "cli.md")
TUTORIAL = ROOT / "docs" / "tutorial.md"
NEEDS = re.compile(r"<!-- needs: [^>]+ -->\n```sh\n.*?```", re.S)
SHELL = ("", "sh", "console")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
"""Blocks of every language, as the end of one would else be taken for the beginning of the next."""


def commands(text: str) -> list[list[str]]:
    """The words after `deltaloop` of each line of the blocks that begins with it, comments left out."""
    lines = [
        line.removeprefix("$ ")
        for language, block in BLOCK.findall(text)
        if language in SHELL
        for line in block.splitlines()
    ]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("deltaloop ")]


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_the_program_takes_the_commands_of_a_page(page: str) -> None:
    group = typer.main.get_command(app)
    for name, *words in commands((ROOT / page).read_text(encoding="utf-8")):
        command = group.commands[name]  # type: ignore[attr-defined]
        command.make_context(name, words)  # reads them, and runs nothing


def test_the_commands_of_the_pages_are_found() -> None:
    found = {page: len(commands((ROOT / page).read_text(encoding="utf-8"))) for page in ("README.md", *PAGES)}
    assert found["README.md"] >= 7
    assert found["docs/tutorial.md"] >= 15
    assert found["docs/howto.md"] >= 8


def test_an_option_that_is_not_there_is_found() -> None:
    command = typer.main.get_command(app).commands["plan"]  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="No such option"):
        command.make_context("plan", ["campaign.toml", "--promptz", "3"])


@pytest.mark.slow
def test_the_tutorial_runs(call: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    for name, content in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", text, flags=re.S):
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    ran = commands(NEEDS.sub("", text))
    assert {"run", "status", "report", "export", "student", "import"} <= {words[0] for words in ran}
    for words in ran:
        done = call(*words)
        assert done.code == 0, (words, done.err)
    assert all((tmp_path / name).exists() for name in ("first.html", "found", "student"))


def test_the_policy_of_the_page_chooses_what_the_student_half_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
    code = re.findall(r"<!-- code: policies/selection.py -->\n```python\n(.*?)```", page, flags=re.S)
    assert len(code) == 1
    assert len(code[0].splitlines()) <= 30
    monkeypatch.setattr(selection, "SELECTION", dict(selection.SELECTION))
    exec(code[0], dict(vars(selection)))  # as someone who follows the page would add it to the file
    num = 4
    choices = Choices(
        delta=np.ones(num),
        zero=np.array([False, False, False, True]),
        consistency=np.ones(num),
        agreement=np.array([0.0, 0.5, 0.9, 0.5]),
        embeddings=np.eye(num, dtype=np.float32),
    )
    indices, _ = select("learnable", choices, num=2, min_consistency=0.5, rng=np.random.default_rng(0))
    assert indices.tolist() == [1, 2]
