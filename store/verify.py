"""Integrity: recomputes every digest that the store holds, and names what does not match or is missing.

ledger        the database's own checks; prompt and candidate ids from their content; embeddings are unit vectors
blobs         every file, and whether everything that rows refer to is there
checkpoints   every folder, and whether every checkpoint that versions refer to is there
indices       every manifest
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.errors import DeltaloopError, Missing
from store.fingerprint import fingerprint
from store.index import index_problems
from store.ledger import Ledger
from store.records import prompt_id
from store.references import checkpoint_references, named_blobs, read_rows
from store.repair import is_unit_vector
from store.tables import CandidateRow, EmbeddingRow, PromptRow


@dataclass(frozen=True)
class Verification:
    """What a verification found."""

    problems: tuple[str, ...]
    """One line each: what, where, and what to do."""
    fingerprint: str
    """The facts as one sha256; empty if they cannot be read."""
    orphans: tuple[str, ...] = ()
    """Digests of blobs that no row names: what an interrupted stage leaves behind. They do no harm."""


def verify(
    ledger: Ledger,
    blobs: FileBlobs,
    checkpoints: FileCheckpoints,
    indices: Path | None = None,
    *,
    campaign: str | None = None,
) -> Verification:
    """Check the whole home; the fingerprint is a campaign's if one is named. Missing (a KeyError) if there is none.

    Args:
        ledger: the facts.
        blobs: where images and stage outputs are.
        checkpoints: where trained models are.
        indices: the folder that FAISS indices are saved in.
        campaign: whose facts the fingerprint covers; None is all of them.
    """
    if campaign is not None and ledger.find_campaign(campaign) is None:
        raise Missing(f"the ledger holds no campaign {campaign!r}; `deltaloop status` lists the campaigns")
    facts = ""
    problems: list[str] = []
    orphans: list[str] = []
    try:
        with ledger.database.reading() as connection:
            problems += _database_problems(connection)
            problems += _ledger_problems(connection, blobs, checkpoints)
            named = named_blobs(connection)
            facts = fingerprint(connection, campaign)
    except (DeltaloopError, ValueError) as error:
        problems.append(f"ledger: a row cannot be read ({error}); restore the ledger from a backup")
    else:
        problems += [
            f"{blobs.path(digest)}: this blob is missing, {what}; restore it from a backup"
            for digest, what in named.items()
            if digest not in blobs
        ]
        orphans = [digest for digest in blobs if digest not in named]
    problems += _blob_problems(blobs)
    problems += _checkpoint_problems(checkpoints)
    problems += index_problems(indices) if indices is not None else []
    return Verification(tuple(problems), facts, tuple(orphans))


def _database_problems(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "sqlite":
        return
    for (message,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if message != "ok":
            yield f"ledger: {message}; restore the ledger from a backup"
    for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"ledger: a row of {table} refers to a row of {parent} that is missing; restore the ledger from a backup"


def _ledger_problems(connection: Connection, blobs: FileBlobs, checkpoints: FileCheckpoints) -> Iterator[str]:
    """Problems of rows: their own digests, and what they refer to."""
    for id, question, images in read_rows(connection, PromptRow, "id", "question", "images"):
        if prompt_id(question, images) != id:
            yield f"prompt {id}: the digest of its content is another; restore the ledger from a backup"
    names = ("campaign", "round", "position", "prompt_id", "question", "images")
    for campaign, round, position, id, question, images in read_rows(connection, CandidateRow, *names):
        if prompt_id(question, images) != id:
            where = f"candidate {position} of round {round} of `{campaign}`"
            yield f"{where}: the digest of its content is not {id}; restore the ledger from a backup"
    yield from _version_problems(connection, checkpoints)
    yield from _embedding_problems(connection)


def _version_problems(connection: Connection, checkpoints: FileCheckpoints) -> Iterator[str]:
    for digest, id in checkpoint_references(connection):
        if digest != id:
            yield f"version {id}: its checkpoint is {digest}; the two must be equal; restore the ledger from a backup"
        yield from _raised(lambda digest=digest: checkpoints.path(digest))  # type: ignore[misc]


def _embedding_problems(connection: Connection) -> Iterator[str]:
    for embedder, id, data in read_rows(connection, EmbeddingRow, "embedder", "prompt_id", "vector"):
        if not is_unit_vector(data):
            yield f"embedding of prompt {id} by {embedder!r}: not a unit vector; `verify --repair` removes it"


def _blob_problems(blobs: FileBlobs) -> Iterator[str]:
    for digest in blobs:
        yield from _raised(lambda digest=digest: blobs.get(digest))  # type: ignore[misc]


def _checkpoint_problems(checkpoints: FileCheckpoints) -> Iterator[str]:
    for digest in checkpoints:
        path = checkpoints.path(digest)
        try:
            matches = folder_digest(path) == digest
        except Missing:
            matches = False
        if not matches:
            yield f"{path}: the files do not match the checkpoint's digest; restore it from a backup"


def _raised(check: Callable[[], object]) -> Iterator[str]:
    """The message of the error that a check raises, if it raises one."""
    try:
        check()
    except DeltaloopError as error:
        yield str(error)
