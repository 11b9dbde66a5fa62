"""Summaries of completed rounds, kept: a status of hundreds of rounds need not read all that they scored.

<folder>/<key>.json    the key is a digest of the round's stages and of this program's modules that make the summary

They are derived: whoever deletes the folder loses nothing.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from loop import summary
from loop.summary import Read, outputs_of, round_json
from store.files import write_whole
from store.records import RoundRow, Status, canonical_json, digest, digest_of


class KeptRounds:
    """Gives the summary of a round, from its file where there is one."""

    def __init__(self, folder: Path, read: Read) -> None:
        self._folder = folder
        self._read = read

    def __call__(self, row: RoundRow) -> dict[str, Any]:
        """As `loop.summary.round_json`; only completed rounds are kept, for these do not change."""
        if row.status is not Status.COMPLETED:
            return round_json(row, outputs_of(row, self._read))
        path = self._folder / f"{_key(row)}.json"
        try:
            held: dict[str, Any] = json.loads(path.read_bytes())
            return held
        except (OSError, ValueError):
            made = round_json(row, outputs_of(row, self._read))
        with suppress(OSError):  # a home that cannot be written to can still be looked at
            write_whole(path, lambda temporary: temporary.write_text(canonical_json(made), encoding="utf-8"))
        return made


def _key(row: RoundRow) -> str:
    stages = [[stage.name, str(stage.status), stage.seconds, stage.output] for stage in row.stages]
    return digest_of([_maker(), row.campaign, row.index, stages])


@cache
def _maker() -> str:
    """Another version of the summary's code makes other summaries."""
    return digest(Path(summary.__file__).read_bytes())
