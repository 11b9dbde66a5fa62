"""The example of docs/prompts.md, by its words alone: its program, its commands and its campaign file."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import easy_vqa
import pytest

from loop.bootstrap import open_home
from loop.config import load_settings
from tests.conftest import ROOT, Calls

PAGE = (ROOT / "docs" / "prompts.md").read_text(encoding="utf-8")


def test_easy_vqa_imports_as_the_page_says(call: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (program,) = re.findall(r"<!-- run: python -->\n```python\n(.*?)```", PAGE, flags=re.S)
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    for name, text in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, flags=re.S):
        Path(name).write_text(text, encoding="utf-8")
    outputs = []
    for line in re.findall(r"<!-- run: sh -->\n```\n(.*?)```", PAGE, flags=re.S):
        done = call(*shlex.split(line)[1:])
        assert done.code == 0, done.err
        outputs.append(done.out)

    questions, answers, numbers = easy_vqa.get_train_questions()
    assert f"{len(questions)} questions" in PAGE.replace(",", "")
    distinct = set(zip(questions, numbers, strict=True))
    pool = open_home(Path("mlruns")).ledger.pool("easy_vqa")
    assert len(pool) == len({(prompt.question, prompt.images) for prompt in pool}) <= len(distinct)
    assert f"{len(pool)} added, {len(questions) - len(pool)} duplicate, 0 quarantined" in outputs[0]
    assert {prompt.question for prompt in pool} == set(questions)
    assert {prompt.attributes["answer"] for prompt in pool} == set(answers)
    assert load_settings(Path("campaign.toml")).pool.source == "imported"
