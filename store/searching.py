"""Search for words in questions, by the index that the database keeps (migration 0006).

A typed word is found where a word of the question begins with it, in upper or lower case. Signs separate words: `3.5`
means a word `3` followed by one that begins with `5`. What a database cannot hold is escaped as in the questions.

SQLite        ids come in the order of the prompts' entry, as the index gives them, and only as many as are asked for
PostgreSQL    a condition: the ids, where they are few; else the words, as a page is then full after a few prompts
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, literal_column, select, text
from sqlmodel import col

from store.columns import escape
from store.database import CHUNK
from store.tables import PromptRow

MAX_WORDS = 8
MAX_CHARS = 200
"""Of a typed word; the rest of a longer one is not looked at."""

FEW = 1000
"""Ids that are looked up one by one; a word that more prompts have is looked for from prompt to prompt."""

FIRST = 100
"""Ids in the first list: of a frequent word they fill a page, and more would be read for nothing."""

_LETTER = re.compile(r"[^\W_]")
_QUESTION = "regexp_replace(left(prompts.question, 100000), '[^[:alnum:]]+', ' ', 'g')"


def typed_words(typed: str) -> list[str]:
    """The words that are looked for, fit for a database; words that hold only signs are left out."""
    words = (escape(word[:MAX_CHARS]) for word in typed.split()[:MAX_WORDS])
    return [word for word in words if _LETTER.search(word)]


def chunks_of_found(connection: Connection, words: list[str], after: str) -> Iterator[list[str]]:
    """SQLite: the ids of prompts with all words, in order of their entry, after one; in lists for one statement."""
    # Quoted, a word has no operators; SQLite itself splits it at signs.
    query = " ".join('"' + word.replace('"', " ") + '"*' for word in words)
    number = connection.scalar(text("SELECT number FROM prompt_numbers WHERE prompt_id = :id"), {"id": escape(after)})
    # CROSS JOIN keeps SQLite from beginning with the numbers.
    found = connection.execute(
        text(
            "SELECT prompt_id FROM prompt_words CROSS JOIN prompt_numbers ON number = prompt_words.rowid"
            " WHERE prompt_words MATCH :query AND prompt_words.rowid > :number ORDER BY prompt_words.rowid"
        ),
        {"query": query, "number": number or 0},
    )
    size = FIRST
    while rows := found.fetchmany(size):
        yield [id for (id,) in rows]
        size = CHUNK


def found_condition(connection: Connection, words: list[str]) -> tuple[Any, bool]:
    """PostgreSQL: the condition on `prompts` that the question holds all words, and whether few of them do."""
    # The server says what a letter is, for the index and here alike.
    parts = text("SELECT lower(regexp_replace(:word, '[^[:alnum:]]+', ' ', 'g'))")
    known = [(connection.scalar(parts, {"word": word}) or "").split() for word in words]
    query = " & ".join("(" + " <-> ".join(f"'{part}'" for part in held) + ":*)" for held in known if held)
    holds = literal_column(f"to_tsvector('simple', {_QUESTION})").op("@@")(
        text("CAST(:query AS tsquery)").bindparams(query=query)
    )
    ids = list(connection.scalars(select(col(PromptRow.id)).where(holds).limit(FEW)))
    return (col(PromptRow.id).in_(ids), True) if len(ids) < FEW else (holds, False)
