"""Revision 0006: questions can be searched by their words.

SQLite        prompt_words (FTS5, without a copy of the text) by number, prompt_numbers (number <-> prompt), and a
              trigger that fills both: `prompts` has no number of its own that would survive a VACUUM
PostgreSQL    a GIN index over the words; what lies beyond the first 100,000 characters is not in it, since a longer
              text might be refused (a tsvector ends at 1 MB)
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SQLITE = (
    "CREATE TABLE prompt_numbers (number INTEGER PRIMARY KEY, prompt_id VARCHAR NOT NULL UNIQUE)",
    "CREATE VIRTUAL TABLE prompt_words USING fts5(question, content='', tokenize='unicode61 remove_diacritics 0')",
    "INSERT INTO prompt_numbers (prompt_id) SELECT id FROM prompts ORDER BY id",
    "INSERT INTO prompt_words (rowid, question)"
    " SELECT number, question FROM prompt_numbers JOIN prompts ON id = prompt_id ORDER BY number",
    "CREATE TRIGGER prompt_is_searchable AFTER INSERT ON prompts BEGIN"
    " INSERT INTO prompt_numbers (prompt_id) VALUES (new.id);"
    " INSERT INTO prompt_words (rowid, question)"
    " SELECT number, new.question FROM prompt_numbers WHERE prompt_id = new.id; END",
)
POSTGRESQL = (
    "CREATE INDEX ix_prompts_words ON prompts USING gin"
    " (to_tsvector('simple', regexp_replace(left(question, 100000), '[^[:alnum:]]+', ' ', 'g')))",
)


def upgrade() -> None:
    for statement in POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    raise NotImplementedError("a ledger holds facts: it is restored from a backup, never downgraded")
