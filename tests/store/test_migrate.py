"""The migrations lead to the tables that the program expects, once, and never backwards."""

from __future__ import annotations

import re
import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import store.migrate
from store.errors import LedgerUnusable
from store.ledger import Ledger
from store.migrate import newest_revision
from store.tables import Row
from tests.store.facts import PROMPTS, STUDENT, TEACHER, harness_report_of
from tests.store.stored_ledgers import FOLDER, stored

OPTIONS = {"compare_type": True, "include_name": lambda name, kind, parents: not OWN.match(name or "")}
OWN = re.compile("prompt_(words|numbers)|ix_prompts_words|ix_(scores|pool_prompts)_in_order")
"""What only one kind of database has, and no row of the program; `test_searching.py`, `test_browsing.py` cover it."""


def test_the_migrated_schema_is_that_of_the_tables(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger, ledger.database.reading() as connection:
        context = MigrationContext.configure(connection, opts=OPTIONS | {"compare_server_default": True})
        assert compare_metadata(context, Row.metadata) == []


def test_the_comparison_would_see_a_difference(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger, ledger.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE prompts ADD COLUMN extra TEXT")
        connection.exec_driver_sql("DROP INDEX ix_scores_prompt_id")
        context = MigrationContext.configure(connection, opts=OPTIONS)
        assert sorted(step[0] for step in compare_metadata(context, Row.metadata)) == ["add_index", "remove_column"]


def test_unique_and_deferred_constraints_are_in_the_migrated_schema(tmp_path: Path) -> None:
    # What autogenerate does not compare on SQLite.
    Ledger(tmp_path / "ledger.db").close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        sql = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall())
    assert "DEFERRABLE INITIALLY DEFERRED" in sql["prompts"]
    assert "WITHOUT ROWID" in sql["rollouts"]
    assert "UNIQUE (pool, source)" in sql["quarantine"]


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.add_prompts(PROMPTS, pool="p")
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert ledger.pool("p") == PROMPTS


def test_there_is_a_stored_ledger_of_every_version() -> None:
    stored_ones = sorted(path.stem for path in FOLDER.glob("*.sql"))
    expected = [f"{number + 1:04}" for number in range(int(newest_revision()))]
    assert stored_ones == expected, "run: python -m tests.store.stored_ledgers"


@pytest.mark.parametrize("revision", sorted(path.stem for path in FOLDER.glob("*.sql")))
def test_a_ledger_of_every_version_is_upgraded_with_all_its_facts(tmp_path: Path, revision: str) -> None:
    path = stored(revision, tmp_path / "ledger.db")
    before = _rows(path)
    assert all(before[name] for name in ("prompts", "rollouts", "scores", "candidates", "versions", "stages"))
    with Ledger(path) as ledger, ledger.database.reading() as connection:
        context = MigrationContext.configure(connection, opts=OPTIONS)
        assert compare_metadata(context, Row.metadata) == []
        assert [len(row) for row in ledger.rollouts(TEACHER.id, "hot", [ledger.pool("pool")[0].id]).values()] == [2]
    after = _rows(path)
    for name, rows in before.items():
        assert [{key: row[key] for key in old} for row, old in zip(after[name], rows, strict=True)] == rows, name


def test_what_older_scores_lack_stays_unknown(tmp_path: Path) -> None:
    with Ledger(stored("0001", tmp_path / "ledger.db")) as ledger:
        scores = ledger.scores("demo", 1)
    assert {(row.p_value, row.differs, row.noise_floor, row.predicted) for row in scores} == {(None, None, None, False)}


def test_an_older_evaluation_has_no_harness(tmp_path: Path) -> None:
    with Ledger(stored("0002", tmp_path / "ledger.db")) as ledger:
        report = ledger.find_evaluation(STUDENT.id, "chart@conditions")
        assert report is not None
        assert report.harness is None
        asked = harness_report_of(ledger.prompts(report.prompt_ids), samples="b" * 64)
        ledger.add_evaluation(STUDENT.id, "chartqa@conditions", asked)
        assert ledger.find_evaluation(STUDENT.id, "chartqa@conditions") == asked


def test_a_newer_ledger_is_refused_with_the_remedy(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.db").close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerUnusable, match=r"9999.*upgrade deltaloop"):
        Ledger(tmp_path / "ledger.db")


def test_a_migration_that_fails_leaves_no_half_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    shipped = Path(store.migrate.__file__).parent / "migrations"
    (folder / "env.py").write_text((shipped / "env.py").read_text())
    (folder / "versions" / "0001_first.py").write_text((shipped / "versions" / "0001_first.py").read_text())
    (folder / "versions" / "0002_broken.py").write_text(
        "from alembic import op\nrevision, down_revision = '0002', '0001'\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (id INTEGER)')\n    op.execute('CREATE GARBAGE')\n"
    )
    config = Config()
    config.set_main_option("script_location", str(folder))
    monkeypatch.setattr(store.migrate, "_config", lambda: config)
    with pytest.raises(LedgerUnusable, match="GARBAGE"):
        Ledger(tmp_path / "ledger.db")
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert "half" not in tables
    assert "prompts" in tables
    assert revision == [("0001",)]


def test_two_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    opened: list[Ledger] = []
    together = threading.Barrier(4)

    def open_ledger() -> None:
        together.wait()
        opened.append(Ledger(tmp_path / "ledger.db"))

    threads = [threading.Thread(target=open_ledger) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(opened) == 4
    assert opened[0].add_prompts(PROMPTS, pool="p") == len(PROMPTS)
    assert all(ledger.pool("p") == PROMPTS for ledger in opened)
    for ledger in opened:
        ledger.close()


def test_every_revision_has_one_successor_and_a_number(tmp_path: Path) -> None:
    folder = Path(store.migrate.__file__).parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder))
    steps = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]
    assert [step.revision for step in steps] == [f"{number + 1:04}" for number in range(len(steps))]
    assert [step.down_revision for step in steps] == [None, *(step.revision for step in steps[:-1])]


def _rows(path: Path) -> dict[str, list[dict[str, object]]]:
    """All rows by table, each with its columns by name, in the order of their keys."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {
        name: sorted(
            ({key: row[key] for key in row.keys()} for row in connection.execute(f"SELECT * FROM {name}")),  # noqa: SIM118
            key=lambda row: [str(value) for value in row.values()],
        )
        for name in tables
        if name != "alembic_version"
    }
    connection.close()
    return found
