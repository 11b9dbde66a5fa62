"""Garbage goes when it is old, and nothing that a row names goes at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from store.errors import UsageError
from store.files import TEMPORARY
from store.garbage import collect
from store.ledger import Ledger
from store.records import Status, digest
from store.verify import verify
from tests.store.facts import FilledHome

WEEK_S = 7 * 86_400.0


def littered(home: FilledHome) -> dict[str, Path]:
    """A home with one of each kind of garbage."""
    folder = home.indices.parent
    training = folder / "training"
    training.mkdir()
    (training / "model.safetensors").write_bytes(b"weights of a version that was never recorded")
    scratch = folder / "work" / "demo" / "1" / "distill" / "checkpoint-5"
    scratch.mkdir(parents=True)
    (scratch / "optimizer.pt").write_bytes(b"moments")
    left = folder / "blobs" / f"{TEMPORARY}1"
    left.write_bytes(b"half a fil")
    home.ledger.end_round("demo", 1, Status.COMPLETED)
    return {
        "blob that no row names": home.blobs.path(home.blobs.put(b"of a stage that was interrupted")),
        "checkpoint that no version names": home.checkpoints.path(home.checkpoints.add(training)),
        "training checkpoints of a completed round": folder / "work" / "demo" / "1",
        "left by a crash": left,
    }


def collected(home: FilledHome, *, later_s: float = WEEK_S + 60, dry_run: bool = False) -> dict[str, Path]:
    found = collect(
        home.ledger,
        home.blobs,
        home.checkpoints,
        home.indices.parent,
        now_s=time.time() + later_s,
        dry_run=dry_run,
    )
    return {one.what: one.path for one in found}


@pytest.mark.parametrize("dry_run", [True, False])
def test_old_garbage_is_told_and_goes(home: FilledHome, dry_run: bool) -> None:
    garbage = littered(home)
    assert collected(home, dry_run=dry_run) == garbage
    assert [path.exists() for path in garbage.values()] == [dry_run] * 4


def test_what_the_ledger_names_stays(home: FilledHome) -> None:
    littered(home)
    before = verify(home.ledger, home.blobs, home.checkpoints, home.indices)
    collected(home)
    after = verify(home.ledger, home.blobs, home.checkpoints, home.indices)
    assert (after.problems, after.fingerprint, after.orphans) == ((), before.fingerprint, ())


def test_what_is_new_stays(home: FilledHome) -> None:
    littered(home)
    assert collected(home, later_s=WEEK_S - 60) == {}


def test_a_blob_that_is_stored_again_is_new(home: FilledHome) -> None:
    path = littered(home)["blob that no row names"]
    os.utime(path, (0, 0))
    home.blobs.put(b"of a stage that was interrupted")
    assert collected(home, later_s=0) == {}
    assert digest(path.read_bytes()) in home.blobs


def test_training_of_a_round_that_may_resume_stays(home: FilledHome) -> None:
    scratch = littered(home)["training checkpoints of a completed round"]
    home.ledger.end_round("demo", 1, Status.STOPPED)
    assert scratch not in collected(home).values()


def test_with_the_ledger_of_another_home_nothing_goes(home: FilledHome, tmp_path: Path) -> None:
    with Ledger(tmp_path / "other.db") as other, pytest.raises(UsageError, match="names none of the 4 blobs"):
        collect(other, home.blobs, home.checkpoints, home.indices.parent, now_s=time.time() + 2 * WEEK_S)
    assert verify(home.ledger, home.blobs, home.checkpoints).problems == ()
