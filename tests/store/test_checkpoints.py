"""Checkpoints are named by their files, moved in whole, and told apart by any byte or name."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest

from store.checkpoints import FileCheckpoints, folder_digest
from store.records import digest_of


@pytest.fixture
def checkpoints(tmp_path: Path) -> FileCheckpoints:
    return FileCheckpoints(tmp_path / "checkpoints")


def model(folder: Path, weights: bytes = b"weights", name: str = "model.safetensors") -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / name).write_bytes(weights)
    (folder / "deep" / "config.json").write_text("{}")
    return folder


def test_the_digest_is_that_of_names_and_contents(tmp_path: Path) -> None:
    expected = {
        "model.safetensors": hashlib.sha256(b"weights").hexdigest(),
        "deep/config.json": hashlib.sha256(b"{}").hexdigest(),
    }
    assert folder_digest(model(tmp_path / "a")) == digest_of(expected)


def test_the_digest_tells_folders_apart(tmp_path: Path) -> None:
    folders = [
        model(tmp_path / "a"),
        model(tmp_path / "b", weights=b"weightt"),
        model(tmp_path / "c", name="model2.safetensors"),
    ]
    assert len({folder_digest(folder) for folder in folders}) == 3
    assert folder_digest(model(tmp_path / "d")) == folder_digest(folders[0])


def test_links_count_as_the_files_they_lead_to(tmp_path: Path) -> None:
    real = model(tmp_path / "real")
    (tmp_path / "linked" / "deep").mkdir(parents=True)
    (tmp_path / "linked" / "model.safetensors").symlink_to(real / "model.safetensors")
    (tmp_path / "linked" / "deep" / "config.json").symlink_to(real / "deep" / "config.json")
    assert folder_digest(tmp_path / "linked") == folder_digest(real)


def test_a_folder_without_files_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="nowhere"):
        folder_digest(tmp_path / "nowhere")
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    with pytest.raises(KeyError, match="empty"):
        folder_digest(tmp_path / "empty")


def test_a_folder_is_moved_in(checkpoints: FileCheckpoints, tmp_path: Path) -> None:
    expected = folder_digest(model(tmp_path / "made"))
    assert checkpoints.add(tmp_path / "made") == expected
    assert not (tmp_path / "made").exists()
    assert folder_digest(checkpoints.path(expected)) == expected
    assert list(checkpoints) == [expected]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [expected]


def test_adding_an_equal_one_is_harmless(checkpoints: FileCheckpoints, tmp_path: Path) -> None:
    first = checkpoints.add(model(tmp_path / "made"))
    assert checkpoints.add(model(tmp_path / "again")) == first
    assert not (tmp_path / "again").exists()
    assert checkpoints.add(checkpoints.path(first)) == first  # itself
    assert folder_digest(checkpoints.path(first)) == first


def test_a_damaged_one_is_replaced(checkpoints: FileCheckpoints, tmp_path: Path) -> None:
    first = checkpoints.add(model(tmp_path / "made"))
    (checkpoints.path(first) / "model.safetensors").write_bytes(b"wei")
    assert checkpoints.add(model(tmp_path / "again")) == first
    assert folder_digest(checkpoints.path(first)) == first


@pytest.mark.parametrize("name", ["f" * 64, "..", "", "/"])
def test_an_absent_checkpoint_is_a_key_error(checkpoints: FileCheckpoints, tmp_path: Path, name: str) -> None:
    checkpoints.add(model(tmp_path / "made"))
    with pytest.raises(KeyError, match="checkpoint"):
        checkpoints.path(name)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def test_a_pickle_is_hashed_and_moved_but_not_loaded(
    checkpoints: FileCheckpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = model(tmp_path / "made")
    (made / "training_args.bin").write_bytes(pickle.dumps(Bomb()))
    checkpoints.path(checkpoints.add(made))
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickle.dumps(Bomb()))
    assert (tmp_path / "exploded").exists()  # the bomb works
