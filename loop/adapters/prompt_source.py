"""From the rows of a table to prompts, their pictures stored on the way, a batch at a time.

rows -> drafts -> pictures checked -> blobs, flushed once a batch -> Prompt | Quarantined, in the order of the rows
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loop.adapters.cells import Pictures
from loop.adapters.columns import Draft, read_row, shown
from loop.adapters.jsonl import Refused
from loop.adapters.tables import Table
from store.records import Origin, Prompt, Quarantined

if TYPE_CHECKING:
    from loop.intake import Columns
    from loop.ports import Blobs

BATCH_ROWS = 1000
BATCH_BYTES = 64 << 20


@dataclass(frozen=True)
class Checked:
    """A draft with the bytes of its pictures, each of which decodes."""

    draft: Draft
    images: tuple[bytes, ...]

    def prompt(self, images: Sequence[str], origin: Origin) -> Prompt:
        """The prompt, given the digests of its pictures."""
        return Prompt.make(self.draft.question, images, origin, attributes=self.draft.attributes)


def check(draft: Draft, pictures: Pictures) -> Checked:
    """Open the pictures of a draft. `Refused`, with the reason, if one cannot be used."""
    return Checked(draft, tuple(map(pictures.read, draft.cells)))


def prompts_of(table: Table, columns: Columns, blobs: Blobs) -> Iterator[Prompt | Quarantined]:
    """What the rows of a table are, in its order. When a prompt comes out, its pictures are on the disk."""
    for batch in _batches(table, columns):
        images = dict.fromkeys(image for row in batch if isinstance(row, Checked) for image in row.images)
        names = dict(zip(images, blobs.put_all(list(images)), strict=True))
        for row in batch:
            if isinstance(row, Quarantined):
                yield row
            else:
                yield row.prompt([names[image] for image in row.images], Origin.SEED)


def _batches(table: Table, columns: Columns) -> Iterator[list[Checked | Quarantined]]:
    """Rows in lists that are bounded in length and in bytes."""
    batch: list[Checked | Quarantined] = []
    size, pictures = 0, Pictures(table.folder)
    for number, row in table.rows:
        try:
            if isinstance(row, Refused):
                raise row
            checked = check(read_row(row, columns), pictures)
            size += sum(map(len, checked.images))
            batch.append(checked)
        except Refused as reason:
            batch.append(Quarantined(f"{table.name}:{number}", shown(row), str(reason)))
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch
