from __future__ import annotations

from pathlib import Path

import pytest

from loop.campaign import run_campaign
from scripts.refresh_figures import main
from tests.fakes import fake_ports, fake_settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign of fake models in a real ledger."""
    folder = tmp_path_factory.mktemp("home")
    run_campaign(fake_settings(rounds=2), *fake_ports(folder))
    return folder


def test_a_finished_campaign_is_drawn(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "docs" / "figures"
    assert main(["--home", str(home), "--campaign", "fake", "--out", str(out)]) == 0
    names = {"delta_histogram.png", "region_map.png", "accuracy.png"}
    assert {file.name for file in out.iterdir()} == names
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in out.iterdir())
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_home_without_ledger_or_campaign_is_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--home", str(tmp_path / "nowhere"), "--out", str(tmp_path)]) == 2
    assert "no ledger.db" in capsys.readouterr().err
    assert main(["--home", str(home), "--campaign", "other", "--out", str(tmp_path)]) == 2
    assert "campaign `other` has nothing to draw" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
