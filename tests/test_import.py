"""`deltaloop import`, as users type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from loop.bootstrap import open_home
from loop.config import load_settings
from tests.conftest import Calls
from tests.test_cli import one_line


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five rows, two of them bad."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    rows = [
        {"ask": "What colour?", "pic": "red.png", "gold": "red", "topic": "colour"},
        {"ask": "=1+1\x07<script>", "pic": "red.png"},
        {"ask": "What colour?", "pic": "red.png"},
        {"ask": "Is it bad?", "pic": "bad.png"},
        {"ask": "Where is it?", "pic": None},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_import_tells_what_became_of_the_rows_and_twice_adds_nothing(call: Calls, source: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    named = ["--question", "ask", "--images", "pic", "--answer", "gold", "--skill", "topic", "--attribute", "gold"]
    command = ["import", source, "--pool", "mine", *named, "--home", home]
    done = call(*command, "--json")
    assert done.code == 0, done.err
    faults = {"null image": 1, "undecodable image": 1}
    told = {"source": str(source), "pool": "mine", "added": 2, "duplicate": 1, "quarantined": faults}
    assert json.loads(done.out) == told
    assert json.loads(call(*command, "--json").out) == told | {"added": 0, "duplicate": 3}
    assert "0 added, 3 duplicate, 2 quarantined\n  null image: 1\n" in call(*command).out
    ledger = open_home(home).ledger
    (first,) = (prompt for prompt in ledger.pool("mine") if prompt.question == "What colour?")
    assert first.attributes == {"skill": "colour", "answer": "red", "gold": "red"}
    assert {prompt.question for prompt in ledger.pool("mine")} == {"What colour?", "=1+1\x07<script>"}
    assert [row.source for row in ledger.quarantined("mine")] == ["mine.jsonl:4", "mine.jsonl:5"]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["gone.jsonl", "--pool", "p"], 2, "no such file or folder is here"),
        (["mine.jsonl", "--pool", "../p"], 2, "--pool '../p'"),
        (["mine.jsonl", "--pool", "p", "--question", "aks"], 2, "no column `aks`; it has ask, pic, gold, topic"),
        (["mine.jsonl", "--pool", "p"], 2, "--question"),
        (["mine.jsonl", "--pool", "p", "--question", "ask", "--images", "pic", "--max-chars", "1"], 1, "5 quarantined"),
    ],
)
def test_what_cannot_be_imported_is_one_line_with_the_remedy(
    call: Calls, source: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, reason: str
) -> None:
    monkeypatch.chdir(source.parent)
    done = call("import", *arguments, "--home", "home")
    assert done.code == code
    assert reason in one_line(done.err)


def test_a_campaign_file_may_name_whatever_import_takes(source: Path) -> None:
    file = source.parent / "campaign.toml"
    for value, loaded in {
        "imported": "imported",
        "owner/name": "owner/name",
        "mine.jsonl": str(source),
        ".": str(source.parent),
    }.items():
        file.write_text(f'name = "mine"\n[pool]\nsource = "{value}"\n', encoding="utf-8")
        assert load_settings(file).pool.source == loaded
