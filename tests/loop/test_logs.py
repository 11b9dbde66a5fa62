"""The log: where each line comes from, in both forms, and that it costs nothing but itself."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loop import logs
from loop.logs import Format, JsonLines, LogStream, tell, working_at
from loop.progress import LineProgress
from store.errors import DeltaloopError
from tests.loop.fake_runs import Interrupter, run

log = logging.getLogger("loop.test")


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    before = logging.raiseExceptions
    yield
    logs.end()
    logging.raiseExceptions = before


def begin(folder: Path, form: Format, *, console: int = logging.WARNING, log_mb: int = 10) -> None:
    logs.begin(folder, "demo", form, log_mb=log_mb, log_files=2, console=console)


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_stage_of_a_campaign_is_told_with_its_place(tmp_path: Path) -> None:
    logs.begin(tmp_path / "logs", "fake", Format.JSON, log_mb=10, log_files=2, console=logging.INFO)
    run(tmp_path / "home", Interrupter(), rounds=0, pool={"name": "fake", "size": 6})
    lines = objects((tmp_path / "logs" / "fake.log").read_text(encoding="ascii"))
    places = [(line["campaign"], line["round"], line["stage"]) for line in lines if line["message"] == "begins"]
    assert places == [("fake", 0, "pool"), ("fake", 0, "baseline_teacher"), ("fake", 0, "baseline_student")]
    assert sum(line["message"].startswith("completed in ") for line in lines) == 3


def test_json_is_all_there_is_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))  # as the command line begins
    begin(tmp_path, Format.JSON)
    with working_at("demo", 3, "score"):
        log.info("Δ is\n%s", "odd")
        with LineProgress(LogStream(), every_s=0.0).bar("student samples", 10) as advance:
            advance(5)
    tell("it waits")
    try:
        raise ValueError("unforeseen")
    except ValueError:
        log.exception("failed")
    lines = objects(capsys.readouterr().err)
    assert [(line["level"], line["round"], line["stage"]) for line in lines] == [
        ("info", 3, "score"),
        ("info", 3, "score"),
        ("warning", None, None),
        ("error", None, None),
    ]
    assert lines[0]["message"] == "Δ is\nodd"
    assert lines[1]["message"].startswith("student samples 5/10")
    assert "ValueError: unforeseen" in lines[3]["error"]
    assert all(line["campaign"] == "demo" and line["time"].endswith("+00:00") for line in lines)


def test_text_that_no_encoding_takes_is_a_line_of_json() -> None:
    line = JsonLines("demo").format(logging.makeLogRecord({"msg": "odd \ud800"}))
    assert line.isascii()
    assert json.loads(line)["message"] == "odd \ud800"


def test_plain_lines_show_a_person_what_matters_and_the_file_keeps_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path, Format.PLAIN)
    with working_at("demo", 3, "score"):
        log.info("begins")
        log.warning("slow")
    tell("it waits")
    shown = capsys.readouterr().err.splitlines()
    kept = (tmp_path / "demo.log").read_text(encoding="utf-8").splitlines()
    assert shown[0].endswith(" WARNING demo/3/score slow")
    assert shown[1:] == ["it waits"]
    assert [line.split(" ", 1)[1] for line in kept] == [
        "INFO demo/3/score begins",
        "WARNING demo/3/score slow",
        "WARNING demo it waits",
    ]


def test_files_begin_anew_at_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MB", 1000)
    begin(tmp_path, Format.PLAIN, log_mb=1)
    for number in range(200):
        log.info("line %d", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.log", "demo.log.1", "demo.log.2"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert "line 199" in (tmp_path / "demo.log").read_text(encoding="utf-8")


def test_a_log_that_cannot_be_written_disturbs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path / "logs", Format.PLAIN)
    (tmp_path / "logs").rmdir()
    log.info("lost")
    log.warning("shown")
    shown = capsys.readouterr().err
    assert "shown" in shown
    assert "Traceback" not in shown
    logs.end()
    (tmp_path / "logs").touch()
    with pytest.raises(DeltaloopError, match="cannot be made"):
        begin(tmp_path / "logs", Format.PLAIN)


def test_nothing_is_logged_after_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path, Format.JSON)
    logs.end()
    tell("only shown")
    assert capsys.readouterr().err == "only shown\n"
    assert not (tmp_path / "demo.log").exists()
