"""A campaign finds the same facts, and resumes alike, whichever database keeps its ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loop.fake_runs import Interrupter, run


def test_a_campaign_has_one_fingerprint_on_every_database_interrupted_or_not(
    tmp_path: Path, postgresql_ledger: str
) -> None:
    undisturbed = Interrupter()
    expected = run(tmp_path / "sqlite", undisturbed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "postgresql", Interrupter(at=undisturbed.count // 2), ledger_url=postgresql_ledger)
    assert run(tmp_path / "postgresql", Interrupter(), ledger_url=postgresql_ledger) == expected
