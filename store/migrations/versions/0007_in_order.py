"""Revision 0007: on PostgreSQL, lists of prompts in order of id begin where a page begins.

Ids are ordered by their bytes everywhere, and a server's primary keys may follow the rules of some language: a page of
a pool, or of what a round scored, sorted all of it first. SQLite's keys are in the order of bytes.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

POSTGRESQL = (
    'CREATE INDEX ix_scores_in_order ON scores (campaign, round, prompt_id COLLATE "C")',
    'CREATE INDEX ix_pool_prompts_in_order ON pool_prompts (pool, prompt_id COLLATE "C")',
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in POSTGRESQL:
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    raise NotImplementedError("a ledger holds facts: it is restored from a backup, never downgraded")
