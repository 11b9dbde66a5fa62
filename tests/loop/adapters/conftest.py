"""What tests of adapters begin with: blobs and models of a test's own, and a tiny pair for trainings."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.adapters.models import Models
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.records import Version
from tests.tiny_models import version_of, write_model


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Version]:
    folder = tmp_path_factory.mktemp("pair")
    return (
        version_of(write_model(folder / "student", seed=1, sharpness=4)),
        version_of(write_model(folder / "teacher", seed=2, sharpness=8)),
    )


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def checkpoints(tmp_path: Path) -> FileCheckpoints:
    return FileCheckpoints(tmp_path / "checkpoints")


@pytest.fixture
def models(blobs: FileBlobs, checkpoints: FileCheckpoints) -> Models:
    return Models(blobs, checkpoints, device="cpu", threads=1)
