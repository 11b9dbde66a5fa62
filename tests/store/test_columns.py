"""Values of records in the column types."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from store.columns import byte_order
from store.tables import QuarantineRow, RolloutRow


def ordered_by(column: Any, dialect: Dialect) -> str:
    return str(select(column).order_by(byte_order(column, dialect)).compile(dialect=dialect))


def test_strings_are_ordered_by_their_bytes_whatever_the_language_of_the_server() -> None:
    for column in (RolloutRow.version, RolloutRow.status, QuarantineRow.source):
        assert ordered_by(column, postgresql.dialect()).endswith(f'{column.key} COLLATE "C"')
        assert ordered_by(column, sqlite.dialect()).endswith(column.key)
    assert "COLLATE" not in ordered_by(RolloutRow.index, postgresql.dialect())
