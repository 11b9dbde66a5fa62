"""The connection to the ledger's database: transactions, and the few set-based statements that every noun needs.

    with database.reading() as connection: ...    one snapshot
    with database.writing() as connection: ...    one transaction; a second writer waits for the first

SQLite runs with write-ahead log, foreign keys, a busy timeout, and `synchronous=NORMAL` (a power cut may lose the last
transactions, never the consistency of the file). PostgreSQL keeps the same promises: readers see one snapshot
(REPEATABLE READ), and writers take turns by an advisory lock, so that what a transaction has read stays true until it
commits, and no two can deadlock.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, select, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from store.bulk import insert, replacing
from store.errors import LedgerUnusable, Missing, Unstorable, UsageError
from store.remedies import remedy
from store.tables import Row

T = TypeVar("T")

CHUNK = 900
"""Values in one IN list: SQLite allowed 999 variables in a statement before 3.32, and longer lists gain nothing."""

STATEMENTS = 16
"""Prepared statements that an SQLite connection keeps. Each length of an IN list is one of its own, of 100 bytes a
value: with Python's 128, a controller that runs for weeks grows by 10 kB with each prompt of its pool."""

BUSY_TIMEOUT_S = 60.0
"""How long a writer waits for another one."""

IDLE_WRITER_S = 30.0
"""PostgreSQL ends a writer that has stopped in the middle of a transaction: the next one must not wait for ever."""

WRITERS = 0x64656C7461  # "delta"
"""Key of the advisory lock that PostgreSQL's writers take."""


class Database:
    """An SQL database file (or URL), and its transactions."""

    def __init__(self, url_or_path: str | Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.url = url_of(url_or_path)
        self.guard: Callable[[Connection], None] | None = None
        """Called at the beginning and before the commit of each writing transaction; may refuse it by raising."""
        if self.is_postgresql:
            # A connection that the server has closed meanwhile, e.g. by a restart, is replaced before it is used.
            self._engine = create_engine(self.url, pool_pre_ping=True)
            _configure_postgresql(self._engine, busy_timeout_s)
            return
        self._engine = create_engine(self.url, connect_args={"cached_statements": STATEMENTS})
        if self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        _configure_sqlite(self._engine, busy_timeout_s)

    @property
    def is_postgresql(self) -> bool:
        """Whether a server keeps the ledger, and not a file."""
        return self.url.get_backend_name() == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent snapshot."""
        options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"} if self.is_postgresql else {}
        with (
            self._explained(),
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by an exception."""
        with (
            self._explained(),
            self._engine.connect().execution_options(deltaloop_writes=True) as connection,
            connection.begin(),
        ):
            if self.guard is not None:
                self.guard(connection)
            yield connection
            # Again, since nobody else could write meanwhile: not the heartbeat either, however long this took.
            if self.guard is not None:
                self.guard(connection)

    def close(self) -> None:
        """Give back all connections; the write-ahead log is folded into the file by the last one."""
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        where = self.url.render_as_string(hide_password=True)
        driver: Any = self._engine.dialect.dbapi  # its errors are not wrapped where the store talks to it directly
        try:
            yield
        except (IntegrityError, driver.IntegrityError) as error:
            cause = getattr(error, "orig", error)
            if "FOREIGN KEY" in str(cause).upper():
                raise Missing(
                    f"{where}: a row refers to one that is not there ({cause}); add that one first"
                ) from error
            raise Unstorable(f"{where}: a value was refused ({cause}); NaN and absent values cannot be kept") from error
        except (DataError, driver.DataError) as error:
            raise Unstorable(f"{where}: a value cannot be kept: {getattr(error, 'orig', error)}; correct it") from error
        except (DBAPIError, driver.Error) as error:
            cause = getattr(error, "orig", error)
            file = None if self.is_postgresql else self.url.database
            raise LedgerUnusable(f"{where}: {cause}; {remedy(cause, file)}") from error
        except (StatementError, OverflowError) as error:  # refused by a column type, or an integer beyond 64 bits
            raise Unstorable(f"{where}: a value cannot be kept: {getattr(error, 'orig', error)}; correct it") from error


def url_of(url_or_path: str | Path) -> URL:
    """An SQLAlchemy URL; anything without `://` is the path of an SQLite file. UsageError for another database."""
    text = str(url_or_path)
    if "://" not in text:
        return make_url("sqlite://").set(database=str(Path(text).absolute()))
    url = make_url(text)
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(
            f"--ledger: {url.get_backend_name()!r} keeps no ledger; give sqlite:///PATH, a plain path,"
            " or postgresql://USER@HOST/DATABASE"
        )
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _configure_sqlite(engine: Engine, busy_timeout_s: float) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions of its own: `begin` below does
        connection.execute(f"PRAGMA busy_timeout={int(busy_timeout_s * 1000)}")
        _switch_to_wal(connection, busy_timeout_s)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: one that first reads and then writes would fail instead of waiting.
        writes = connection.get_execution_options().get("deltaloop_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _configure_postgresql(engine: Engine, busy_timeout_s: float) -> None:
    take_turn = text(
        "SELECT set_config('lock_timeout', :patience, true), set_config('idle_in_transaction_session_timeout',"
        " :idle, true), pg_advisory_xact_lock(:key)"
    ).bindparams(patience=f"{max(1, int(busy_timeout_s * 1000))}ms", idle=f"{int(IDLE_WRITER_S * 1000)}ms", key=WRITERS)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("deltaloop_writes", False):
            connection.execute(take_turn)


def _switch_to_wal(connection: Any, patience_s: float) -> None:
    """SQLite does not wait where two switch a new file at once: one is told at once that it is locked."""
    until = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


def now() -> str:
    """UTC, ISO 8601, with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """The distinct values, in their order, in lists that fit into one statement."""
    distinct = list(dict.fromkeys(values))
    for start in range(0, len(distinct), CHUNK):
        yield distinct[start : start + CHUNK]


def columns(row: type[Row], record: type[Any]) -> list[Any]:
    """The columns of a table that make up a record, in the order of its fields."""
    return [getattr(row, field.name) for field in fields(record)]


def add(connection: Connection, row: type[Row], values: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows; those whose key is taken are left as they are. Returns how many were new."""
    return insert(connection, _table(row), values, "DO NOTHING") if values else 0


def put(connection: Connection, row: type[Row], values: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; those whose key is taken are replaced. Of several with one key, the last one counts."""
    if not values:
        return
    table = _table(row)
    keys = [column.name for column in table.primary_key]
    latest = {tuple(value[key] for key in keys): value for value in values}
    insert(connection, table, list(latest.values()), replacing(connection, table, list(values[0])))


def require(connection: Connection, column: Any, values: Iterable[str], noun: str) -> None:
    """Missing (a KeyError) names the first value that the column does not hold."""
    for chunk in chunks(values):
        held = set(connection.scalars(select(column).where(column.in_(chunk))))
        for value in chunk:
            if value not in held:
                raise Missing(f"the ledger holds no {noun} {value!r}; add it first, or correct the id")


def _table(row: type[Row]) -> Any:
    return row.__table__  # type: ignore[attr-defined]
