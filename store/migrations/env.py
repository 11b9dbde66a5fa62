"""Alembic's entry: runs migrations on the connection that `store.migrate` passes in, inside its transaction."""

from __future__ import annotations

from alembic import context

from store.tables import Row

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Row.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
