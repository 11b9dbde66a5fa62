"""Blobs are there whole, under the digest of their bytes, or a clear error says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.blobs import FileBlobs
from store.errors import Corrupt
from store.records import digest


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path / "blobs")


@given(data=st.binary(max_size=200))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_come_back(blobs: FileBlobs, data: bytes) -> None:
    name = blobs.put(data)
    assert name == digest(data)
    assert blobs.get(name) == data
    assert name in blobs
    assert name in list(blobs)


def test_the_layout_on_disk(blobs: FileBlobs, tmp_path: Path) -> None:
    name = blobs.put(b"data")
    assert (tmp_path / "blobs" / name[:2] / name[2:]).read_bytes() == b"data"


def test_putting_again_writes_nothing(blobs: FileBlobs) -> None:
    name = blobs.put(b"data")
    before = blobs.path(name).stat().st_ino
    assert blobs.put(b"data") == name
    assert blobs.path(name).stat().st_ino == before
    assert list(blobs) == [name]


def test_no_temporary_file_stays(blobs: FileBlobs, tmp_path: Path) -> None:
    name = blobs.put(b"data")
    assert [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == [name[2:]]


@pytest.mark.parametrize("num", [0, 1, 3, 40])
def test_many_come_back_in_order_each_written_once(blobs: FileBlobs, num: int) -> None:
    many = [bytes([number]) * number for number in range(num)]
    kept = blobs.put(b"kept")
    before = blobs.path(kept).stat().st_ino
    names = blobs.put_all([*many, *reversed(many), b"kept"])
    assert [blobs.get(name) for name in names] == [*many, *reversed(many), b"kept"]
    assert blobs.path(kept).stat().st_ino == before
    assert list(blobs) == sorted(set(names))


def test_a_disk_that_fails_half_way_leaves_only_whole_files(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    many = [bytes([number]) * 9 for number in range(20)]
    blocked = blobs.path(digest(many[12]))
    blocked.mkdir(parents=True)
    (blocked / "in the way").touch()
    with pytest.raises(OSError, match="directory"):
        blobs.put_all(many)
    files = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and path.parent != blocked]
    assert all(digest(path.read_bytes()) == path.parent.name + path.name for path in files)


def test_a_flipped_bit_is_found(blobs: FileBlobs) -> None:
    name = blobs.put(b"some data")
    path = blobs.path(name)
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=str(path)):
        blobs.get(name)


def test_a_blob_cut_short_is_found_and_mended_by_putting_it_again(blobs: FileBlobs) -> None:
    name = blobs.put(b"some data")
    blobs.path(name).write_bytes(b"some")
    with pytest.raises(Corrupt):
        blobs.get(name)
    blobs.put(b"some data")
    assert blobs.get(name) == b"some data"


@pytest.mark.parametrize("name", ["f" * 64, "", "../../../etc/passwd", "F" * 64, "f" * 63])
def test_an_absent_blob_is_a_key_error(blobs: FileBlobs, name: str) -> None:
    blobs.put(b"another")
    with pytest.raises(KeyError, match="blob"):
        blobs.get(name)


def test_an_absent_folder_holds_nothing(blobs: FileBlobs) -> None:
    assert list(blobs) == []
    assert "f" * 64 not in blobs


def test_stray_files_are_no_blobs(blobs: FileBlobs) -> None:
    name = blobs.put(b"data")
    (blobs.path(name).parent / ".tmp-left-by-a-crash").write_bytes(b"half")
    assert list(blobs) == [name]
