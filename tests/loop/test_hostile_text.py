"""Whatever somebody else wrote, terminals, logs, pictures and cards show it as text."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from mlflow.utils.validation import _validate_metric_name
from rich.console import Console, RenderableType

from loop import logs
from loop.adapters.figures import RoundReport, accuracy_over_rounds, region_map
from loop.campaign import run_campaign
from loop.comparison import Comparison, Gap, Parting, comparison_tables
from loop.delta_report import DeltaReport, Group, skills_table
from loop.export_card import card as data_card
from loop.export_prompts import Filters, choose
from loop.export_student import card, lineage_of
from loop.findings import Finding, findings_table
from loop.logs import Format, tell
from loop.ports import Ports
from loop.progress import LineProgress, RichProgress
from loop.status import PlainConsole, unfinished
from loop.study_report import report_tables
from loop.summary import metric_name
from loop.text import clean_lines, one_line
from loop.tuning import Tried
from loop.version_report import report_table
from loop.work_done import PublishedProgress, read_work_done
from store.ledger import Ledger
from store.records import Posterior, Region, Report, RoundRow, Spent, StageRow, Status, SuiteReport
from tests.conftest import Calls
from tests.fakes import fake_ports, fake_settings
from tests.hazards import ACTING, ACTING_ON_A_LINE, HAZARDS
from tests.loop.campaign_example import STUDENT

hazards = pytest.mark.parametrize("text", HAZARDS.values(), ids=HAZARDS)


def printed(renderable: RenderableType) -> str:
    """As a terminal gets it, without its colours."""
    console = PlainConsole(io.StringIO(), width=1000)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def squeezed(text: str) -> str:
    return " ".join(text.split())


@hazards
def test_tables_on_a_terminal_show_it(text: str) -> None:
    group = Group(text, 1, 0.5, 0.0, 1.0, 0.0, 1.0)
    gap = Gap(text, 1, 0.5, 0.5, 0.0, 0.0, 0.0)
    trial = Tried(0, "complete", {text: text}, None, text)
    tables: dict[str, RenderableType] = {
        "score": skills_table(DeltaReport("pool", STUDENT, group, (), (group,), 0)),
        "compare": comparison_tables(
            Comparison(text, "b", (gap,), (Spent(), Spent()), (Parting(text, text, 1, (1,)),))
        ),
        "tune": report_tables([trial], {text: 1.0}, trial),
        "evaluate": report_table([SuiteReport(text, "exact", ("p",), (1.0,), ("",))]),
        "doctor": findings_table([Finding(text, text, True, text)]),
    }
    for name, table in tables.items():
        shown = printed(table)
        assert not ACTING_ON_A_LINE.search(shown), name
        assert squeezed(clean_lines(text).partition("\n")[0]) in squeezed(shown), name


@hazards
def test_a_stage_s_error_is_one_line(text: str) -> None:
    stage = StageRow("score", Status.FAILED, 1.0, 1, {}, None, f"the model said {text}")
    (line,) = unfinished([RoundRow("fake", 1, Status.FAILED, "{}", "c", False, (stage,))])
    assert one_line(text) in line
    assert len(line.splitlines()) == 1
    assert not ACTING_ON_A_LINE.search(line)


@pytest.fixture
def ended() -> Iterator[None]:
    before = logging.raiseExceptions
    yield
    logs.end()
    logging.raiseExceptions = before


@contextmanager
def unreported(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Logs are no part of pytest's reports: pytest-xdist ends a process whose report has text without an encoding."""
    root = logging.getLogger()
    reporting = [handler for handler in root.handlers if isinstance(handler, type(caplog.handler))]
    for handler in reporting:
        root.removeHandler(handler)
    yield
    for handler in reporting:
        root.addHandler(handler)


@hazards
@pytest.mark.usefixtures("ended")
def test_a_log_holds_a_line_for_each_message(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with unreported(caplog):
        logs.begin(tmp_path, "fake", Format.PLAIN, log_mb=10, log_files=2, console=logging.WARNING)
        logging.getLogger("loop.test").warning("the server answered %s", text)
        tell(f"the model said {text}")
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("loop.test").exception("failed")
    for told in ((tmp_path / "fake.log").read_text(encoding="utf-8"), capsys.readouterr().err):
        lines = told.split("\n")
        assert [one_line(text) in line for line in lines[:2]] == [True, True]
        assert "failed" in lines[2]
        assert lines[3] == "Traceback (most recent call last):"
        assert not ACTING.search(told)


def test_status_shows_an_error_and_a_refused_name_in_a_line(call: Calls, tmp_path: Path) -> None:
    every = " ".join(HAZARDS.values())
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.start_campaign("fake", seed=0, pool="[/nothing] \x9b31m", identity="i")
        ledger.start_campaign("other", seed=0, pool="p", identity="i")
        ledger.start_round("other", 1, settings="{}", commit="c", dirty=False)
        ledger.start_stage("other", 1, "score", {})
        ledger.end_stage("other", 1, "score", Status.FAILED, seconds=1.0, error=every)
    done = call("status", "--home", tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"round 1, stage score: failed: {one_line(every)}" in done.out.splitlines()
    assert "[/nothing] \N{REPLACEMENT CHARACTER}31m" in done.out
    assert not ACTING_ON_A_LINE.search(done.out)
    refused = call("status", every.replace("\x00", ""), "--home", tmp_path)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert not ACTING_ON_A_LINE.search(refused.err)


@pytest.mark.parametrize("hazard", ["mathematics", "overwriting", "eight bits", "direction", "no encoding", "nothing"])
def test_pictures_are_drawn(hazard: str) -> None:
    text = HAZARDS[hazard]
    region = Region(0, 2, Posterior(0.5, 0.1, 1.0), (text,), 1, ())
    vectors = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    report = Report("v", (SuiteReport(text, "exact", ("p",), (1.0,), ("",)),), mean_over=(text,))
    for picture in (
        region_map(vectors, np.ones(4), np.zeros(4, dtype=np.int64), [region]),
        accuracy_over_rounds([RoundReport(1, report, True)], report, None),
    ):
        assert picture.startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Ports:
    ports, student, teacher = fake_ports(tmp_path_factory.mktemp("finished"))
    run_campaign(fake_settings(), ports, student, teacher)
    return ports


@hazards
def test_cards_show_names_as_code(text: str, finished: Ports) -> None:
    lineage = lineage_of(finished.ledger, finished.blobs, "fake", None)
    named = SuiteReport(text, "exact", ("p",), (1.0,), ("",))
    before = Report("v", (named,), mean_over=(text,))
    assert lineage.teacher is not None
    odd = replace(lineage, base=replace(lineage.base, source=text), before=before)
    student = card(replace(odd, teacher=replace(lineage.teacher, source=text)))
    chosen = choose(finished.ledger, finished.blobs, "fake", None, Filters())
    prompts = data_card(
        [score for _, score in chosen.entries],
        [prompt.origin for prompt, _ in chosen.entries],
        campaign="fake",
        round=chosen.round,
        scored=1,
        filters={"skills": [text]},
        student=odd.base,
        teacher=lineage.teacher,
    )
    for told in (student, prompts):
        assert not ACTING_ON_A_LINE.search(told)
        lines = told.splitlines()
        heads = [place for place, line in enumerate(lines) if line.startswith("|---")]
        assert all(lines[place - 1].count("|") == lines[place].count("|") for place in heads)
        assert all(line.count("|") == 3 for line in lines if line.startswith("| filters |"))
        outside = re.sub("`[^`]*`", "", told)
        assert one_line(text).strip() not in outside
        assert "<" not in outside


@hazards
def test_a_bar_s_label_is_text(text: str, tmp_path: Path) -> None:
    terminal, plain = io.StringIO(), io.StringIO()
    bars = RichProgress(Console(file=terminal, force_terminal=True, width=300, color_system=None))
    lines = PublishedProgress(LineProgress(plain, every_s=0.0), tmp_path / "work.json", clock=count(0, 10).__next__)
    for progress in (bars, lines):
        with progress.bar(f"{text} (student)", 2) as advance:
            advance(2)
            told = read_work_done(tmp_path / "work.json")
    assert told is not None
    assert told.label == f"{one_line(text)} (student)"
    for shown in (terminal.getvalue(), plain.getvalue()):
        assert f"{one_line(text)} (student)" in shown
    assert not ACTING_ON_A_LINE.search(plain.getvalue().rstrip("\n"))


@pytest.mark.parametrize("text", [*HAZARDS.values(), "", "..", "a/../b", "/", "x" * 500, "charts (v2), 50 %"])
def test_a_metric_s_name_is_one_that_mlflow_takes(text: str) -> None:
    _validate_metric_name(metric_name("accuracy", "student", text))
