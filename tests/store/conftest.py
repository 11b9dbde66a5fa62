"""A home that holds facts of every kind, filled once per file and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.facts import FilledHome


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    home = FilledHome(folder)
    home.fill()
    home.ledger.close()
    return folder


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> Iterator[FilledHome]:
    opened = FilledHome(shutil.copytree(filled, tmp_path / "home"))
    yield opened
    opened.ledger.close()
