"""Revision 0003: what another evaluation harness says of a version on one of its tasks, beside the evaluation.

A row is one metric of a task. Evaluations by our own suites have none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "harness_scores",
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("stderr", sa.Float(), nullable=True),
        sa.Column("harness", sa.String(), nullable=False),
        sa.Column("harness_version", sa.String(), nullable=False),
        sa.Column("samples", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version", "key"], ["evaluations.version", "evaluations.key"], name="fk_harness_scores_version_key"
        ),
        sa.PrimaryKeyConstraint("version", "key", "metric", name="pk_harness_scores"),
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger holds facts: it is restored from a backup, never downgraded")
