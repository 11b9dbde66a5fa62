"""Revision 0002: scores carry what says how far to trust them.

What older scores lack stays unknown (null).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scores", sa.Column("p_value", sa.Float(), nullable=True))
    op.add_column("scores", sa.Column("differs", sa.Boolean(), nullable=True))
    op.add_column("scores", sa.Column("noise_floor", sa.Float(), nullable=True))
    op.add_column("scores", sa.Column("predicted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("scores", sa.Column("spread", sa.Float(), nullable=True))
    op.add_column("scores", sa.Column("zero_probability", sa.Float(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a ledger holds facts: it is restored from a backup, never downgraded")
