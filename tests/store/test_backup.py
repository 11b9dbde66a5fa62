"""A backup of a live home comes back with the same facts; a damaged or hostile archive leaves nothing behind."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from store.backup import back_up, restore
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.copying import copy_rows
from store.errors import BackupUnusable
from store.ledger import Ledger
from store.records import Prompt, Quarantined
from store.verify import Verification, verify
from tests.store.facts import FilledHome


@pytest.fixture
def archive(home: FilledHome, tmp_path: Path) -> Path:
    backed_up(home, tmp_path / "backup.tar")
    return tmp_path / "backup.tar"


def backed_up(home: FilledHome, file: Path) -> str:
    made = back_up(home.ledger, home.blobs, home.checkpoints, home.indices, file)
    assert made.problems == ()
    return made.fingerprint


def verified(folder: Path, ledger_url: str | None = None) -> Verification:
    with Ledger(ledger_url or folder / "ledger.db") as ledger:
        return verify(ledger, FileBlobs(folder / "blobs"), FileCheckpoints(folder / "checkpoints"), folder / "index")


def test_a_home_comes_back_whole(home: FilledHome, tmp_path: Path) -> None:
    home.blobs.put(b"an orphan")
    fingerprint = backed_up(home, tmp_path / "backup.tar")
    assert restore(tmp_path / "backup.tar", tmp_path / "new").fingerprint == fingerprint
    found = verified(tmp_path / "new")
    assert (found.problems, found.orphans) == ((), ())
    before = verify(home.ledger, home.blobs, home.checkpoints, home.indices)
    assert found.fingerprint == before.fingerprint == fingerprint
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["blobs", "checkpoints", "index", "ledger.db"]
    assert [path.name for path in (tmp_path / "new" / "index").iterdir()] != []


def test_a_home_moves_to_a_server_and_back(
    home: FilledHome, archive: Path, tmp_path: Path, postgresql_ledger: str
) -> None:
    restore(archive, tmp_path / "served", postgresql_ledger)
    assert not (tmp_path / "served" / "ledger.db").exists()
    served = verified(tmp_path / "served", postgresql_ledger)
    assert (served.problems, served.fingerprint) == ((), verified(tmp_path / "home").fingerprint)
    with Ledger(postgresql_ledger) as ledger:
        ledger.quarantine("pool", [Quarantined("one more", "", "after the restore")])
        assert ledger.quarantined("pool")[-1].source == "one more"
        places = FileBlobs(tmp_path / "served" / "blobs"), FileCheckpoints(tmp_path / "served" / "checkpoints")
        made = back_up(ledger, *places, tmp_path / "served" / "index", tmp_path / "again.tar")
    restore(tmp_path / "again.tar", tmp_path / "back")
    assert verified(tmp_path / "back").fingerprint == made.fingerprint
    with pytest.raises(BackupUnusable, match="not empty"):
        restore(archive, tmp_path / "other", postgresql_ledger)
    assert not (tmp_path / "other").exists()


def test_a_backup_that_is_made_while_others_write_is_consistent(home: FilledHome, tmp_path: Path) -> None:
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            image = home.blobs.put(f"image {number}".encode())
            home.ledger.add_prompts([Prompt.make(f"Asked meanwhile {number}?", [image])], pool="pool")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(home.ledger.pool("pool")) < 8:
            pass
        backed_up(home, tmp_path / "backup.tar")
    finally:
        done.set()
        writer.join()
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert verified(tmp_path / "new").problems == ()


def test_what_is_damaged_already_is_named_and_left_out(home: FilledHome, tmp_path: Path) -> None:
    home.blobs.path(home.image).unlink()
    made = back_up(home.ledger, home.blobs, home.checkpoints, home.indices, tmp_path / "backup.tar")
    assert len(made.problems) == 1
    assert home.image[2:] in made.problems[0]
    assert restore(tmp_path / "backup.tar", tmp_path / "new").problems == made.problems
    assert verified(tmp_path / "new").fingerprint == made.fingerprint


def test_nothing_is_overwritten(home: FilledHome, archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(BackupUnusable, match="there already"):
        backed_up(home, archive)
    assert archive.read_bytes() == before
    for target in (tmp_path / "home", archive):
        with pytest.raises(BackupUnusable, match="not empty"):
            restore(archive, target)


def edited(archive: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """The archive with other content."""
    with tarfile.open(archive) as source:
        files = {entry.name: source.extractfile(entry).read() for entry in source}  # type: ignore[union-attr]
    change(files)
    target = archive.with_name("edited.tar")
    with tarfile.open(target, "w") as made:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return target


def name_in(files: dict[str, bytes], start: str) -> str:
    return next(name for name in files if name.startswith(start))


FAULTS: dict[str, Callable[[dict[str, bytes]], object]] = {
    "blob changed": lambda files: files.update({name_in(files, "blobs"): b"other"}),
    "blob missing": lambda files: files.pop(name_in(files, "blobs")),
    "checkpoint changed": lambda files: files.update({name_in(files, "checkpoints"): b"other"}),
    "ledger changed": lambda files: files.update({"ledger.db": files["ledger.db"][:-1] + b"x"}),
    "index missing": lambda files: files.pop(name_in(files, "index")),
    "no manifest": lambda files: files.pop("manifest.json"),
    "manifest unreadable": lambda files: files.update({"manifest.json": b"[]"}),
    "another format": lambda files: files.update({"manifest.json": b'{"format": 99}'}),
    "another fingerprint": lambda files: files.update(
        {"manifest.json": files["manifest.json"].replace(b'"fingerprint": "', b'"fingerprint": "0')}
    ),
    "a way out": lambda files: files.update({"../evil": b"x"}),
    "a way out of a checkpoint": lambda files: files.update({f"checkpoints/{'a' * 64}/../../../evil": b"x"}),
    "an absolute path": lambda files: files.update({"/tmp/evil": b"x"}),
    "a stranger": lambda files: files.update({"blobs/evil": b"x"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_archive_that_is_not_sound_is_refused_and_leaves_nothing(archive: Path, tmp_path: Path, name: str) -> None:
    before = set(tmp_path.rglob("*"))
    wrong = edited(archive, FAULTS[name])
    with pytest.raises(BackupUnusable):
        restore(wrong, tmp_path / "deep" / "new")
    assert set(tmp_path.rglob("*")) - before <= {wrong, tmp_path / "deep"}
    assert restore(edited(archive, lambda files: None), tmp_path / "new").problems == ()


def test_a_link_in_an_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive, "a") as opened:
        link = tarfile.TarInfo("blobs/aa/" + "b" * 62)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        opened.addfile(link)
    with pytest.raises(BackupUnusable, match="belongs to no backup"):
        restore(archive, tmp_path / "new")


def test_a_cut_archive_and_no_archive_are_refused(archive: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(archive.read_bytes()[:30_000])
    (tmp_path / "text.tar").write_text("no archive")
    for file in (cut, tmp_path / "text.tar", tmp_path / "absent.tar"):
        with pytest.raises(BackupUnusable, match=file.name):
            restore(file, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_copying_keeps_every_fact_and_no_lease(home: FilledHome, tmp_path: Path) -> None:
    from store.owners import this_process

    home.ledger.take_lease("demo", this_process(), lease_s=30)
    with Ledger(tmp_path / "copy.db") as copy:
        copy_rows(home.ledger.database, copy.database)
        assert copy.find_lease("demo") is None
        assert copy.quarantined("pool") == home.ledger.quarantined("pool")
        assert copy.rounds("demo") == home.ledger.rounds("demo")
        facts = verify(copy, home.blobs, home.checkpoints).fingerprint
    assert facts == verify(home.ledger, home.blobs, home.checkpoints).fingerprint
