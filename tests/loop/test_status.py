"""What people are told of a campaign: lines while it runs, tables afterwards."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from loop.campaign import run_campaign
from loop.status import (
    RoundLines,
    accuracy_before,
    campaign_table,
    campaigns_table,
    find_campaign,
    round_line,
    summary_of,
    unfinished,
)
from store.errors import DeltaloopError, StageFailed
from tests.fakes import ListTracker, fake_ports, fake_settings


def text_of(renderable: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_each_round_is_told_as_it_ends_and_the_inner_tracker_hears_everything(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    lines: list[str] = []
    inner = ListTracker()
    told = replace(ports, tracker=RoundLines(inner, ports.ledger, ports.blobs, lines.append))
    run_campaign(fake_settings(), told, student, teacher)
    assert [line.split(":")[0] for line in lines] == ["baseline", "round 1", "round 2"]
    row = find_campaign(ports.ledger, "fake")
    assert row is not None
    summary = summary_of(ports.ledger, ports.blobs, row)
    first, second = summary["rounds"]
    before = summary["baseline"]["eval"]["student"]["mean"]
    assert f"accuracy {100 * before:.1f} % -> {100 * first['eval']['student']['mean']:.1f} %" in lines[1]
    assert lines[2] == round_line(second, accuracy_before(summary, 2))
    names = {str(call[0]) for call in inner.calls}
    assert names == {"round_started", "stage_ended", "round_ended", "campaign_ended"}


def test_the_tables_fit_a_terminal_of_80_columns_and_name_everything(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(), ports, student, teacher)
    row = find_campaign(ports.ledger, None)
    assert row is not None
    shown = text_of(campaign_table(summary_of(ports.ledger, ports.blobs, row)))
    for word in ("campaign fake: completed", "teacher", "student", "round 1", "round 2", "easy", "hard", "mean"):
        assert word in shown
    assert "…" not in shown
    assert "fake" in text_of(campaigns_table(ports.ledger.campaigns()))


def test_a_failed_stage_is_told_with_its_error(tmp_path: Path) -> None:
    def broken(name: str) -> None:
        if name == "train":
            raise ValueError("out of paper")

    ports, student, teacher = fake_ports(tmp_path, broken)
    with pytest.raises(StageFailed):
        run_campaign(fake_settings(), ports, student, teacher)
    (line,) = unfinished(ports.ledger.rounds("fake"))
    assert line.startswith("round 1, stage distill: failed: ")
    assert "out of paper" in line
    row = find_campaign(ports.ledger, "fake")
    assert row is not None
    assert "campaign fake: failed" in text_of(campaign_table(summary_of(ports.ledger, ports.blobs, row)))


def test_a_wrong_name_is_answered_with_the_right_ones(tmp_path: Path) -> None:
    ports, _, _ = fake_ports(tmp_path)
    assert find_campaign(ports.ledger, None) is None
    ports.ledger.start_campaign("right", seed=0, pool="p", identity="i")
    with pytest.raises(DeltaloopError, match=r"`wrong`.*right"):
        find_campaign(ports.ledger, "wrong")


def test_summaries_of_completed_rounds_are_kept_and_change_nothing(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(rounds=1), ports, student, teacher)
    row = find_campaign(ports.ledger, "fake")
    assert row is not None
    fresh = summary_of(ports.ledger, ports.blobs, row)
    kept = tmp_path / "summaries"
    assert summary_of(ports.ledger, ports.blobs, row, kept) == fresh
    (file,) = kept.iterdir()
    file.write_text('{"index": 1, "from": "the file"}')
    assert summary_of(ports.ledger, ports.blobs, row, kept)["rounds"] == [{"index": 1, "from": "the file"}]
    file.write_text("torn")
    assert summary_of(ports.ledger, ports.blobs, row, kept) == fresh
