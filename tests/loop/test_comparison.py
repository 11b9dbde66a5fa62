"""Two campaigns side by side: paired accuracies, spend, and where their settings part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loop.campaign import run_campaign
from loop.comparison import as_json, compare, comparison_tables
from loop.ports import Ports
from store.errors import DeltaloopError
from tests.fakes import fake_ports, fake_settings
from tests.loop.test_status import text_of


def run_two(home: Path, **changes: object) -> Ports:
    ports, student, teacher = fake_ports(home)
    run_campaign(fake_settings(), ports, student, teacher)
    run_campaign(fake_settings(**({"name": "other"} | changes)), ports, student, teacher)
    return ports


def test_a_campaign_that_trains_longer_is_ahead_and_the_key_is_named(tmp_path: Path) -> None:
    ports = run_two(tmp_path, rounds=1, training={"steps": 1, "batch": 4}, selection={"prompts": 1})
    found = compare(ports.ledger, ports.blobs, "other", "fake")
    mean = found.accuracy[-1]
    assert mean.suite == "mean"
    assert mean.difference == pytest.approx(mean.second - mean.first)
    assert mean.low <= mean.difference <= mean.high
    assert mean.difference > 0
    assert [gap.suite for gap in found.accuracy] == ["easy", "hard", "mean"]
    by_key = {parting.key: parting for parting in found.settings}
    assert (by_key["training.steps"].first, by_key["training.steps"].second) == (1, 2)
    assert by_key["training.steps"].rounds == (0, 1)
    assert "name" not in by_key
    assert found.spent[1].train_tokens > found.spent[0].train_tokens


def test_a_campaign_does_not_differ_from_itself(tmp_path: Path) -> None:
    ports = run_two(tmp_path)
    found = compare(ports.ledger, ports.blobs, "fake", "fake")
    assert all((gap.difference, gap.low, gap.high) == (0, 0, 0) for gap in found.accuracy)
    assert found.settings == ()
    assert found.spent[0] == found.spent[1]


def test_it_is_printed_as_tables_and_as_json(tmp_path: Path) -> None:
    ports = run_two(tmp_path, rounds=1)
    found = compare(ports.ledger, ports.blobs, "fake", "other")
    shown = text_of(comparison_tables(found), width=120)
    for word in ("easy", "mean", "train tokens", "rounds", "90% interval"):
        assert word in shown
    data = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert set(data) == {"first", "second", "accuracy", "spent", "settings"}
    assert set(data["spent"]) == {"first", "second"}


def test_campaigns_without_a_common_question_are_refused(tmp_path: Path) -> None:
    ports = run_two(tmp_path, evaluation={"main": ["hard"]})
    assert [gap.suite for gap in compare(ports.ledger, ports.blobs, "fake", "other").accuracy][-1] == "mean"
    ports.ledger.start_campaign("begun", seed=0, pool="fake", identity="x")
    with pytest.raises(DeltaloopError, match="evaluated no student"):
        compare(ports.ledger, ports.blobs, "fake", "begun")
