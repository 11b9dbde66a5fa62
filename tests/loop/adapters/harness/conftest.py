"""A harness that is there without being installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.harness_place import VARIABLE
from tests.loop.adapters.harness.fake_harness import write_interpreter


@pytest.fixture
def fake_harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the harness a fake one; see `fake_harness`."""
    python = write_interpreter(tmp_path)
    monkeypatch.setenv(VARIABLE, str(python))
    return python
