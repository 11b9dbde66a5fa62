"""Many rows by few statements: values become SQL values column by column, and go to the driver as they are.

SQLite        one prepared INSERT, executed for every row
PostgreSQL    the same for a few rows; many are copied into a temporary table and inserted from there (COPY itself
              cannot pass over rows whose key is taken)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection

from store.errors import Unstorable

COPY_FROM = 500
"""Rows from which on PostgreSQL copies: below, making the temporary table takes longer than it saves."""


def insert(connection: Connection, table: Any, values: Sequence[Mapping[str, Any]], on_conflict: str) -> int:
    """Insert rows that all have the keys of the first one; returns how many were inserted or updated.

    Args:
        connection: of a writing transaction.
        table: the SQLAlchemy table.
        values: by column name. Unstorable names the column of a value that its type refuses.
        on_conflict: what to do where the key is taken, as SQL after `ON CONFLICT`.
    """
    names = list(values[0])
    rows = list(zip(*(_sql_values(connection, table.c[name], values) for name in names), strict=True))
    into = f"{_quoted(connection, table.name)} ({', '.join(_quoted(connection, name) for name in names)})"
    if connection.dialect.name == "postgresql" and len(rows) >= COPY_FROM:
        return _copied(connection, table, into, rows, on_conflict)
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    marks = ", ".join([mark] * len(names))
    counted = connection.execution_options(preserve_rowcount=True)
    return counted.exec_driver_sql(f"INSERT INTO {into} VALUES ({marks}) ON CONFLICT {on_conflict}", rows).rowcount


def replacing(connection: Connection, table: Any, names: Sequence[str]) -> str:
    """What follows `ON CONFLICT` where the rows that are there are to be replaced."""
    keys = [column.name for column in table.primary_key]
    rest = [_quoted(connection, name) for name in names if name not in keys]
    setting = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return f"({', '.join(_quoted(connection, key) for key in keys)}) DO UPDATE SET {setting}"


def _copied(connection: Connection, table: Any, into: str, rows: list[tuple[Any, ...]], on_conflict: str) -> int:
    staged = _quoted(connection, f"new_{table.name}")
    columns = into.partition(" ")[2]
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {staged} (LIKE {_quoted(connection, table.name)})")
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {staged} {columns} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    names = columns.strip("()")
    done = connection.exec_driver_sql(f"INSERT INTO {into} SELECT {names} FROM {staged} ON CONFLICT {on_conflict}")
    connection.exec_driver_sql(f"DROP TABLE {staged}")
    return done.rowcount


def _sql_values(connection: Connection, column: Column[Any], values: Sequence[Mapping[str, Any]]) -> list[Any]:
    """A column of all rows, as the driver takes it."""
    held = [value[column.name] for value in values]
    type_ = column.type.dialect_impl(connection.dialect)
    convert: Callable[[Any], Any] | None = type_.bind_processor(connection.dialect)
    if convert is None:
        return held
    try:
        return [convert(value) for value in held]
    except (ValueError, TypeError) as error:
        raise Unstorable(
            f"a value of `{column.table.name}.{column.name}` cannot be kept: {error}; correct it"
        ) from error


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
