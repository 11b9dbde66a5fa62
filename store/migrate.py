"""Brings a ledger to the newest schema: `store/migrations/versions`, append-only, one transaction each.

ledger at revision n -> n+1 -> ... -> head      a ledger beyond head belongs to a newer program, and is refused
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from store.database import Database
from store.errors import LedgerUnusable


def migrate(database: Database) -> None:
    """Apply what is missing. LedgerUnusable if the file belongs to a newer program, or to another one."""
    config = _config()
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    with database.reading() as connection:
        pending = _revision(connection) != head
    while pending:
        # Asked again inside the writer's lock: another process may have migrated meanwhile.
        with database.writing() as connection:
            revision = _revision(connection)
            if revision == head:
                return
            _refuse_foreign(connection, revision, script, database)
            config.attributes["connection"] = connection
            command.upgrade(config, "+1")


def newest_revision() -> str:
    """The schema version that this program brings a ledger to."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_foreign(connection: Connection, revision: str | None, script: ScriptDirectory, database: Database) -> None:
    known = [step.revision for step in script.walk_revisions()]
    where = database.url.render_as_string(hide_password=True)
    if revision is None and inspect(connection).get_table_names():
        raise LedgerUnusable(f"{where}: this database holds tables that are not a ledger's; name another file")
    if revision is not None and revision not in known:
        raise LedgerUnusable(
            f"{where}: its schema is revision {revision!r}, this program knows none after {known[0]!r};"
            " upgrade deltaloop, or name another ledger"
        )
