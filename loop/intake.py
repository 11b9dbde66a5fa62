"""Prompts into a pool: committed batch by batch, counted, what cannot be one quarantined with its reason.

    source -> Prompt | Quarantined, one by one -> take_in -> ledger -> Intake: added, duplicate, quarantined by kind

Taking the same in twice adds nothing. An interrupted intake is made whole by doing it again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from loop.ports import Advance, Ledger
from policies.admission import MAX_CHARS
from store.errors import UsageError
from store.records import Prompt, Quarantined

COMMIT_EVERY = 1000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Columns:
    """What the columns of a table mean; what is left out is guessed from their names."""

    question: str | None = None
    """Text, or a conversation (a list of turns)."""
    images: tuple[str, ...] = ()
    """In this order; each holds one image or a list of them."""
    answer: str | None = None
    skill: str | None = None
    attributes: tuple[str, ...] = ()
    """Kept with the prompt, as text."""
    max_chars: int = MAX_CHARS
    """Longer questions are quarantined."""


@dataclass(frozen=True)
class Source:
    """Where prompts come from, as a user names it."""

    name: str
    """A file, a folder, or a hub id `owner/name`."""
    columns: Columns = Columns()
    split: str | None = None
    """Of a data set that has several; `train` if left out."""
    subset: str | None = None
    """Configuration of a hub data set."""


@dataclass(frozen=True)
class Intake:
    """What became of the rows of a source."""

    added: int
    duplicate: int
    """The pool held them already, or the source repeats them."""
    quarantined: Mapping[str, int]
    """Rows by kind of fault."""


def take_in(entries: Iterator[Prompt | Quarantined], pool: str, ledger: Ledger, advance: Advance) -> Intake:
    """Put prompts into a pool, and the others into its quarantine."""
    added, good, kinds = 0, 0, Counter[str]()
    while chunk := list(islice(entries, COMMIT_EVERY)):
        prompts = [entry for entry in chunk if isinstance(entry, Prompt)]
        refused = [entry for entry in chunk if isinstance(entry, Quarantined)]
        added += ledger.add_prompts(prompts, pool=pool)
        ledger.quarantine(pool, refused)
        good += len(prompts)
        kinds.update(kind_of(entry.reason) for entry in refused)
        advance(len(chunk))
    return Intake(added, good - added, dict(sorted(kinds.items())))


def check_pool_name(name: str) -> None:
    """UsageError if no campaign file could name the pool."""
    if not NAME.fullmatch(name):
        raise UsageError(f"--pool {name!r}: letters, digits and `_.-` only, at most 64, the first no sign; correct it")


def summary_lines(taken: Intake, source: str, pool: str) -> list[str]:
    """What became of the rows, for people."""
    num = sum(taken.quarantined.values())
    lines = [f"{source} into pool `{pool}`: {taken.added} added, {taken.duplicate} duplicate, {num} quarantined"]
    return lines + [f"  {kind}: {count}" for kind, count in taken.quarantined.items()]


def kind_of(reason: str) -> str:
    """The kind of fault that a reason begins with, e.g. `null image`."""
    return reason.partition(":")[0]
