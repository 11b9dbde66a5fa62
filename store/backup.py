"""A backup: one tar archive of a home's facts, made while campaigns run, and the way back.

    index/...        FAISS files with their manifests, copied first: they may only lag behind the ledger
    ledger.db        a snapshot of the ledger as an SQLite file, whichever database keeps it
    blobs/...        what the snapshot names: written before the rows that name it, and never changed
    checkpoints/...  likewise
    manifest.json    the last entry: an archive that was cut short has none

Not in it: MLflow's and Optuna's databases (views and trials), scratch, and blobs that no row names.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.copying import copy_rows, is_empty
from store.database import Database, now
from store.errors import BackupUnusable, Corrupt, DeltaloopError, Missing
from store.files import write_whole
from store.fingerprint import fingerprint
from store.index import index_problems
from store.ledger import Ledger
from store.migrate import newest_revision
from store.references import checkpoint_references, named_blobs
from store.verify import verify

FORMAT = 1
LEDGER, BLOBS, CHECKPOINTS, INDEX, MANIFEST = "ledger.db", "blobs", "checkpoints", "index", "manifest.json"

_NAMES = re.compile(
    r"ledger\.db|manifest\.json|blobs/[0-9a-f]{2}/[0-9a-f]{62}|index/index-[\w.-]+\.(json|faiss)"
    r"|checkpoints/[0-9a-f]{64}(/(?!\.{1,2}(/|$))[^/\\\x00]+)+"
)
"""The only names that an archive may hold: none leads out of the folder that it is unpacked into."""


@dataclass(frozen=True)
class Backup:
    """What an archive holds."""

    blobs: int
    checkpoints: int
    fingerprint: str
    problems: tuple[str, ...]
    """What was damaged or missing already, and so is not in the archive; one line each."""


def back_up(ledger: Ledger, blobs: FileBlobs, checkpoints: FileCheckpoints, indices: Path, file: Path) -> Backup:
    """Write an archive. BackupUnusable if the file is there already, or cannot be written."""
    if file.exists():
        raise BackupUnusable(f"{file} is there already; name another file, or move it away")
    made: list[Backup] = []
    try:
        write_whole(file, lambda path: made.append(_write(path, ledger, blobs, checkpoints, indices)))
    except OSError as error:
        raise BackupUnusable(f"{file} cannot be written: {error.strerror}; name another file, or free disk") from error
    return made[0]


def archive_bytes(ledger: Ledger, blobs: Path, checkpoints: Path, indices: Path) -> int:
    """What writing an archive takes at most, with the copies that are packed; of a server's rows nothing is known."""
    file = None if ledger.database.is_postgresql else ledger.database.url.database
    copied = _num_bytes(indices) + (Path(file).stat().st_size if file is not None else 0)
    return 2 * copied + _num_bytes(blobs) + _num_bytes(checkpoints)


def restore(file: Path, home: Path, ledger_url: str | None = None) -> Backup:
    """Unpack an archive into a home that is empty or absent, after checking every digest in it.

    Args:
        file: what `back_up` wrote.
        home: gets `ledger.db`, `blobs`, `checkpoints` and `index`, or nothing at all.
        ledger_url: another ledger, empty so far, that gets the rows instead of `ledger.db`. BackupUnusable says why an
            archive is refused.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise BackupUnusable(f"{home} is not empty; restore into a new home (--home DIR)")
    is_new = not home.exists()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-restore-", dir=home) as folder:
            unpacked = _unpack(file, Path(folder))
            _move_in(Path(folder), home, ledger_url)
    except DeltaloopError:
        raise
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupUnusable(f"{file} cannot be restored to {home}: {error}; check the file and the disk") from error
    finally:
        if is_new and home.exists() and not any(home.iterdir()):
            home.rmdir()
    return unpacked


def _write(path: Path, ledger: Ledger, blobs: FileBlobs, checkpoints: FileCheckpoints, indices: Path) -> Backup:
    problems: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix=".tmp-backup-", dir=path.parent) as folder,
        tarfile.open(path, "w") as archive,
    ):
        files = [*_copied_indices(indices, Path(folder)), _snapshot(ledger.database, Path(folder) / LEDGER)]
        digests = {copied.name: _file_digest(copied) for copied in files}
        for copied in files:
            archive.add(copied, f"{INDEX}/{copied.name}" if copied.name != LEDGER else LEDGER, filter=_anonymous)
        with closing(Database(Path(folder) / LEDGER)) as snapshot, snapshot.reading() as connection:
            wanted = named_blobs(connection)
            models = dict(checkpoint_references(connection))
            facts = fingerprint(connection)
        num_blobs = sum(_add_blob(archive, blobs, digest, what, problems) for digest, what in sorted(wanted.items()))
        num_checkpoints = sum(_add_checkpoint(archive, checkpoints, digest, problems) for digest in sorted(models))
        manifest = {
            "format": FORMAT,
            "revision": newest_revision(),
            "created": now(),
            "fingerprint": facts,
            "blobs": num_blobs,
            "checkpoints": num_checkpoints,
            "problems": problems,
            "files": digests,
        }
        _add_bytes(archive, MANIFEST, json.dumps(manifest, indent=1).encode())
    return Backup(num_blobs, num_checkpoints, facts, tuple(problems))


def _copied_indices(indices: Path, folder: Path) -> list[Path]:
    """Copies of the saved indices; one that is just being saved is left out: it is rebuilt from the ledger."""
    found = []
    for manifest in sorted(indices.glob("index-*.json")):
        place = Path(tempfile.mkdtemp(dir=folder))
        try:
            pair = [Path(shutil.copy(part, place)) for part in (manifest, manifest.with_suffix(".faiss"))]
        except FileNotFoundError:
            continue
        found += pair if not index_problems(place) else []
    return found


def _snapshot(database: Database, path: Path) -> Path:
    """A copy of the ledger at one moment, while others write."""
    if database.is_postgresql:
        with Ledger(path) as copy:
            copy_rows(database, copy.database)
    else:
        with closing(sqlite3.connect(str(database.url.database))) as source, closing(sqlite3.connect(path)) as copied:
            source.backup(copied)
    return path


def _add_blob(archive: tarfile.TarFile, blobs: FileBlobs, digest: str, what: str, problems: list[str]) -> bool:
    try:
        data = blobs.get(digest)
    except (Missing, Corrupt) as error:
        problems.append(f"{error} ({what})")
        return False
    _add_bytes(archive, f"{BLOBS}/{digest[:2]}/{digest[2:]}", data)
    return True


def _add_checkpoint(archive: tarfile.TarFile, checkpoints: FileCheckpoints, digest: str, problems: list[str]) -> bool:
    try:
        path = checkpoints.path(digest)
        sound = folder_digest(path) == digest
    except Missing as error:
        problems.append(str(error))
        return False
    if not sound:
        problems.append(f"{path}: the files do not match the checkpoint's digest; `deltaloop verify` says more")
        return False
    for file in sorted(part for part in path.rglob("*") if part.is_file()):
        archive.add(file.resolve(), f"{CHECKPOINTS}/{digest}/{file.relative_to(path).as_posix()}", filter=_anonymous)
    return True


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the names and numbers of users of the machine that it was made on."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _unpack(file: Path, folder: Path) -> Backup:
    """Everything in the archive, checked."""
    with tarfile.open(file, "r:") as archive:
        for entry in archive:
            if not entry.isfile() or not _NAMES.fullmatch(entry.name):
                raise BackupUnusable(f"{file}: the entry {entry.name!r} belongs to no backup; do not trust this file")
            target = folder / entry.name
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(entry)
            assert content is not None
            with target.open("wb") as unpacked:
                shutil.copyfileobj(content, unpacked)
    manifest = _manifest(file, folder)
    problems = [*_problems(folder, manifest)]
    if problems:
        raise BackupUnusable(f"{file}: {problems[0]} ({len(problems)} problem(s) in all); use another backup")
    return Backup(manifest["blobs"], manifest["checkpoints"], manifest["fingerprint"], tuple(manifest["problems"]))


def _manifest(file: Path, folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise BackupUnusable(f"{file} has no manifest: it was cut short, or is no backup; use another one")
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    path.unlink()
    if manifest.get("format") != FORMAT:
        raise BackupUnusable(
            f"{file} is a backup of format {manifest.get('format')}, this program reads {FORMAT}; upgrade deltaloop"
        )
    return manifest


def _problems(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """What in an unpacked archive is not as its manifest and its names say."""
    for name, digest in manifest["files"].items():
        path = folder / (LEDGER if name == LEDGER else f"{INDEX}/{name}")
        if not path.is_file() or _file_digest(path) != digest:
            yield f"{name} is missing or does not match its digest"
            return
    blobs, checkpoints = FileBlobs(folder / BLOBS), FileCheckpoints(folder / CHECKPOINTS)
    counts = (sum(1 for _ in blobs), sum(1 for _ in checkpoints))
    if counts != (manifest["blobs"], manifest["checkpoints"]):
        yield f"it holds {counts[0]} blobs and {counts[1]} checkpoints, not those that its manifest counts"
    with Ledger(folder / LEDGER) as ledger:
        found = verify(ledger, blobs, checkpoints, folder / INDEX)
    if not manifest["problems"]:  # what was lost before the backup cannot be asked of it
        yield from found.problems
    if manifest["revision"] == newest_revision() and found.fingerprint != manifest["fingerprint"]:
        yield f"the facts have the fingerprint {found.fingerprint}, not {manifest['fingerprint']}"


def _move_in(folder: Path, home: Path, ledger_url: str | None) -> None:
    """The ledger last: a home without one is none."""
    if ledger_url is not None:
        with Ledger(ledger_url) as ledger, closing(Database(folder / LEDGER)) as source:
            if not is_empty(ledger.database):
                raise BackupUnusable("--ledger: that ledger is not empty; restore into a new database")
            copy_rows(source, ledger.database)
    for name in (INDEX, CHECKPOINTS, BLOBS):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).rename(home / name)
    if ledger_url is None:
        (folder / LEDGER).rename(home / LEDGER)


def _num_bytes(folder: Path) -> int:
    """Of all files in a folder; one that goes meanwhile takes nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
