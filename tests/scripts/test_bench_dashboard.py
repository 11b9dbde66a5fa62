"""The benchmark of the dashboard asks every page of a small ledger, and its searches find what their names say."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.bootstrap import open_home
from scripts.bench_dashboard import CAMPAIGN, ROUND, addresses, fill, measure, prompts_of
from store.records import PromptFilter


def test_every_page_has_its_p95(capsys: pytest.CaptureFixture[str]) -> None:
    found = measure("sqlite", num_prompts=200, num_rollouts=400, times=1)
    assert found["p95_ms"].keys() == addresses(prompts_of(1)[0]).keys()
    assert all(value >= 0 for value in found["p95_ms"].values())
    assert "search, no hits" in capsys.readouterr().out


def test_the_searches_find_what_their_names_say(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    fill(home, 100, 0)

    def hits(words: str) -> int:
        return len(home.ledger.page_of_scored(CAMPAIGN, ROUND, PromptFilter(words), "", 1000))

    assert (hits("value"), hits("nowhere")) == (100, 0)
    assert 0 < hits("item77 month5") < 10
    home.close()
