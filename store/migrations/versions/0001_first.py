"""Revision 0001: the first schema.

Never edited after a release: a change is a new file, so that every ledger out there can follow.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _campaigns()
    _prompts()
    _versions()
    _scores()
    _synthesis()
    _plans()


def downgrade() -> None:
    raise NotImplementedError("a ledger holds facts: it is restored from a backup, never downgraded")


def _campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_campaigns"),
    )
    op.create_table(
        "rounds",
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("commit", sa.String(), nullable=False),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["campaign"], ["campaigns.name"], name="fk_rounds_campaign"),
        sa.PrimaryKeyConstraint("campaign", "index", name="pk_rounds"),
    )
    op.create_table(
        "stages",
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("output", sa.String(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign", "round"], ["rounds.campaign", "rounds.index"], name="fk_stages_campaign_round"
        ),
        sa.PrimaryKeyConstraint("campaign", "round", "name", name="pk_stages"),
    )


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("batches", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_plans"),
    )


def _prompts() -> None:
    op.create_table(
        "prompts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("images", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent"], ["prompts.id"], name="fk_prompts_parent", initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("id", name="pk_prompts"),
    )
    op.create_index("ix_prompts_parent", "prompts", ["parent"])
    op.create_table(
        "pool_prompts",
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name="fk_pool_prompts_prompt_id"),
        sa.PrimaryKeyConstraint("pool", "prompt_id", name="pk_pool_prompts"),
    )
    op.create_index("ix_pool_prompts_prompt_id", "pool_prompts", ["prompt_id"])
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
        sa.UniqueConstraint("pool", "source", name="uq_quarantine_pool_source"),
    )
    op.create_table(
        "embeddings",
        sa.Column("embedder", sa.Text(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("embedder", "prompt_id", name="pk_embeddings"),
    )


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("campaign", sa.String(), nullable=True),
        sa.Column("round", sa.Integer(), nullable=True),
        sa.Column("created", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign", "round"], ["rounds.campaign", "rounds.index"], name="fk_versions_campaign_round"
        ),
        sa.ForeignKeyConstraint(["parent"], ["versions.id"], name="fk_versions_parent"),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
    )
    op.create_index("ix_versions_campaign_round", "versions", ["campaign", "round"])
    op.create_table(
        "evaluations",
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("prompt_ids", sa.Text(), nullable=False),
        sa.Column("values", sa.Text(), nullable=False),
        sa.Column("families", sa.Text(), nullable=False),
        sa.Column("created", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["version"], ["versions.id"], name="fk_evaluations_version"),
        sa.PrimaryKeyConstraint("version", "key", name="pk_evaluations"),
    )
    op.create_table(
        "rollouts",
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("sampling", sa.String(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("canonical", sa.Text(), nullable=True),
        sa.Column("num_tokens", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name="fk_rollouts_prompt_id"),
        sa.ForeignKeyConstraint(["version"], ["versions.id"], name="fk_rollouts_version"),
        sa.PrimaryKeyConstraint("version", "sampling", "prompt_id", "index", name="pk_rollouts"),
        sqlite_with_rowid=False,
    )


def _scores() -> None:
    op.create_table(
        "scores",
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("student", sa.String(), nullable=False),
        sa.Column("teacher", sa.String(), nullable=False),
        sa.Column("delta", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("num_student", sa.Integer(), nullable=False),
        sa.Column("num_teacher", sa.Integer(), nullable=False),
        sa.Column("estimator", sa.String(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("zero_delta", sa.Boolean(), nullable=False),
        sa.Column("consistency", sa.Float(), nullable=False),
        sa.Column("student_agreement", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign", "round"], ["rounds.campaign", "rounds.index"], name="fk_scores_campaign_round"
        ),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name="fk_scores_prompt_id"),
        sa.ForeignKeyConstraint(["student"], ["versions.id"], name="fk_scores_student"),
        sa.ForeignKeyConstraint(["teacher"], ["versions.id"], name="fk_scores_teacher"),
        sa.PrimaryKeyConstraint("campaign", "round", "prompt_id", name="pk_scores"),
    )
    op.create_index("ix_scores_prompt_id", "scores", ["prompt_id"])


def _synthesis() -> None:
    op.create_table(
        "regions",
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("posterior_mean", sa.Float(), nullable=False),
        sa.Column("posterior_variance", sa.Float(), nullable=False),
        sa.Column("posterior_num", sa.Float(), nullable=False),
        sa.Column("skills", sa.Text(), nullable=False),
        sa.Column("budget", sa.Integer(), nullable=False),
        sa.Column("seeds", sa.Text(), nullable=False),
        sa.Column("centroids", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign", "round"], ["rounds.campaign", "rounds.index"], name="fk_regions_campaign_round"
        ),
        sa.PrimaryKeyConstraint("campaign", "round", "index", name="pk_regions"),
    )
    op.create_table(
        "candidates",
        sa.Column("campaign", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("images", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("fate", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("region", sa.Integer(), nullable=False),
        sa.Column("delta", sa.Float(), nullable=True),
        sa.Column("consistency", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign", "round"], ["rounds.campaign", "rounds.index"], name="fk_candidates_campaign_round"
        ),
        sa.PrimaryKeyConstraint("campaign", "round", "position", name="pk_candidates"),
    )
    op.create_index("ix_candidates_prompt_id", "candidates", ["prompt_id"])
