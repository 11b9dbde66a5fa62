"""Which blobs and checkpoints the rows of a ledger name: what a backup needs, and what verification looks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select
from sqlmodel import col

from store.tables import CandidateRow, HarnessScoreRow, PromptRow, RegionRow, StageTableRow, VersionRow

CHECKPOINT = "checkpoint:"
"""How the source of a version begins that is a checkpoint of this home."""


def named_blobs(connection: Connection) -> dict[str, str]:
    """What each blob that a row names is to that row, by digest; to the first row, where several name it."""
    named: dict[str, str] = {}
    for digest, what in _references(connection):
        named.setdefault(digest, what)
    return named


def _references(connection: Connection) -> Iterator[tuple[str, str]]:
    for id, images in read_rows(connection, PromptRow, "id", "images"):
        for image in images:
            yield image, f"an image of prompt {id}"
    for campaign, round, position, images in read_rows(
        connection, CandidateRow, "campaign", "round", "position", "images"
    ):
        for image in images:
            yield image, f"an image of candidate {position} of round {round} of `{campaign}`"
    for campaign, round, name, output in read_rows(connection, StageTableRow, "campaign", "round", "name", "output"):
        if output is not None:
            yield output, f"the output of stage `{name}` of round {round} of `{campaign}`"
    for campaign, round, index, centroids in read_rows(
        connection, RegionRow, "campaign", "round", "index", "centroids"
    ):
        yield centroids, f"the centroids of region {index} of round {round} of `{campaign}`"
    for version, key, samples in read_rows(connection, HarnessScoreRow, "version", "key", "samples"):
        yield samples, f"the answers of version {version} to {key!r}"


def checkpoint_references(connection: Connection) -> Iterator[tuple[str, str]]:
    """The digest of each checkpoint that a version names, with the version's id."""
    for id, source in connection.execute(select(col(VersionRow.id), col(VersionRow.source)).order_by(VersionRow.id)):
        if source.startswith(CHECKPOINT):
            yield source.removeprefix(CHECKPOINT), id


def read_rows(connection: Connection, row: Any, *names: str) -> Iterator[Any]:
    """The named columns of all rows, a thousand at a time, in order of the first ones."""
    wanted = [getattr(row, name) for name in names]
    return iter(connection.execute(select(*wanted).order_by(*wanted[:3]), execution_options={"yield_per": 1000}))
