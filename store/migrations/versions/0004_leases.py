"""Revision 0004: who works on a campaign.

No foreign key: a campaign is leased before it is started.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.String(), nullable=False),
        sa.Column("started", sa.String(), nullable=False),
        sa.Column("since", sa.String(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("campaign", name="pk_leases"),
    )


def downgrade() -> None:
    raise NotImplementedError("a ledger holds facts: it is restored from a backup, never downgraded")
