"""A fork begins with all facts, and what is written to it stays in it."""

from __future__ import annotations

from pathlib import Path

from store.blobs import FileBlobs
from store.fingerprint import fingerprint
from store.forking import fork
from store.ledger import Ledger
from store.records import Prompt


def test_a_fork_has_the_facts_and_keeps_its_own(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ledger, blobs = Ledger(home / "ledger.db"), FileBlobs(home / "blobs")
    digest = blobs.put(b"picture")
    ledger.add_prompts([Prompt.make("What?", (digest,))], pool="mine")

    fork(ledger, home, tmp_path / "forks" / "one")
    copy, files = Ledger(tmp_path / "forks" / "one" / "ledger.db"), FileBlobs(tmp_path / "forks" / "one" / "blobs")
    with copy.database.reading() as ours, ledger.database.reading() as theirs:
        assert fingerprint(ours) == fingerprint(theirs)
    assert files.get(digest) == b"picture"

    copy.add_prompts([Prompt.make("And what?")], pool="mine")
    other = files.put(b"another")
    fork(ledger, home, tmp_path / "forks" / "one")  # it is there: nothing is done
    assert len(copy.pool("mine")) == 2
    assert len(ledger.pool("mine")) == 1
    assert not list((home / "blobs").rglob(other[2:]))
    assert [path.name for path in (tmp_path / "forks").iterdir()] == ["one"], "no temporary folder is left"
