"""What the SQL ledger promises beyond the contract: references, concurrency, errors."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import store.database
from store.bulk import COPY_FROM
from store.database import Database
from store.errors import LedgerUnusable, Missing, StageChanged, Unstorable, UsageError
from store.ledger import Ledger
from store.records import Origin, Prompt, Role, Status, Version
from store.tables import PoolPromptRow
from tests.store.facts import PROMPTS, STUDENT, TEACHER, report_of, rollout_of, score_of, start, unit_vectors
from tests.store.strategies import NASTY


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger(ledger_url) as opened:
        yield opened


def test_write_ahead_log_and_foreign_keys_are_on(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger, ledger.database.reading() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    assert values == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 1, "busy_timeout": 60_000}


def test_the_database_itself_refuses_a_dangling_reference(ledger: Ledger) -> None:
    with pytest.raises(Missing, match=r"(?i)foreign key"), ledger.database.writing() as connection:
        connection.execute(PoolPromptRow.__table__.insert(), {"pool": "p", "prompt_id": "nowhere"})


def test_what_a_fact_refers_to_is_named_when_it_is_missing(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS[:1])
    with pytest.raises(KeyError, match=PROMPTS[1].id):
        ledger.add_rollouts([rollout_of(PROMPTS[0], 0), rollout_of(PROMPTS[1], 0)])
    assert ledger.rollouts(TEACHER.id, "hot", [PROMPTS[0].id]) == {}
    with pytest.raises(KeyError, match="unheard"):
        ledger.add_rollouts([rollout_of(PROMPTS[0], 0, Version("unheard", Role.TEACHER, ""))])
    with pytest.raises(KeyError, match=PROMPTS[1].id):
        ledger.add_scores("demo", 1, [score_of(PROMPTS[1])])
    with pytest.raises(KeyError, match="round 7"):
        ledger.add_scores("demo", 7, [score_of(PROMPTS[0])])
    with pytest.raises(KeyError, match="round 7"):
        ledger.add_candidates("demo", 7, [])
    with pytest.raises(KeyError, match="orphan"):
        ledger.add_prompts([Prompt.make("Whose?", (), Origin.SEED_GUIDED, "orphan")])
    with pytest.raises(KeyError, match="unheard"):
        ledger.add_version(Version("new", Role.STUDENT, "", parent="unheard"))
    with pytest.raises(KeyError, match="unheard"):
        ledger.add_evaluation("unheard", "chart", report_of(PROMPTS))
    with pytest.raises(KeyError, match="unheard"):
        ledger.start_round("unheard", 0, settings="{}", commit="", dirty=False)
    with pytest.raises(KeyError, match="round 7"):
        ledger.start_stage("demo", 7, "score", {})


def test_ending_what_never_started_is_refused(ledger: Ledger) -> None:
    start(ledger)
    with pytest.raises(KeyError, match="unheard"):
        ledger.end_campaign("unheard", Status.COMPLETED)
    with pytest.raises(KeyError, match="round 7"):
        ledger.end_round("demo", 7, Status.COMPLETED)
    with pytest.raises(KeyError, match="score"):
        ledger.end_stage("demo", 1, "score", Status.COMPLETED, seconds=0, output=None, error=None)


def test_a_completed_stage_is_final(ledger: Ledger) -> None:
    start(ledger)
    ledger.start_stage("demo", 1, "score", {"work": "w"})
    ledger.end_stage("demo", 1, "score", Status.COMPLETED, seconds=1, output="o" * 64, error=None)
    before = ledger.find_stage("demo", 1, "score")
    with pytest.raises(StageChanged, match="score"):
        ledger.start_stage("demo", 1, "score", {"work": "w"})
    assert ledger.find_stage("demo", 1, "score") == before


def test_a_vector_that_is_not_finite_is_refused(ledger: Ledger) -> None:
    vectors = unit_vectors([PROMPTS[0].id])
    vectors[PROMPTS[0].id][0] = float("inf")
    with pytest.raises(Unstorable, match=PROMPTS[0].id):
        ledger.add_embeddings("e", vectors)


def test_an_integer_that_sql_cannot_hold_is_refused_clearly(ledger: Ledger) -> None:
    with pytest.raises(Unstorable, match=r"too large|out of range"):
        ledger.start_campaign("huge", seed=2**70, pool="p", identity="i")
    assert ledger.campaigns() == ()


def test_facts_survive_closing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "deep" / "er" / "ledger.db") as ledger:
        ledger.add_prompts(PROMPTS, pool="p")
    with Ledger(f"sqlite:///{tmp_path}/deep/er/ledger.db") as ledger:
        assert ledger.pool("p") == PROMPTS


def test_ordinary_text_is_readable_in_sql(tmp_path: Path) -> None:
    prompt = Prompt.make('What is "5 %" of café \\frac{1}{2} 😀?', attributes={"family": "größer"})
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.add_prompts([prompt])
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        assert connection.execute("SELECT question, attributes FROM prompts").fetchall() == [
            (prompt.question, '{"family": "größer"}')
        ]


def test_a_second_writer_waits_for_the_first(ledger_url: str) -> None:
    first, second = Ledger(ledger_url), Ledger(ledger_url)
    waiting, done = threading.Event(), threading.Event()

    def write() -> None:
        waiting.set()
        second.add_prompts(PROMPTS[1:], pool="p")
        done.set()

    thread = threading.Thread(target=write)
    with first.database.writing() as connection:
        thread.start()
        waiting.wait()
        # What is read here stays true until the commit, although another one wants to write.
        before = connection.exec_driver_sql("SELECT count(*) FROM prompts").scalar()
        assert not done.wait(0.2)
        assert second.pool("p") == ()  # readers do not wait
    thread.join(30)
    assert done.is_set()
    assert before == 0
    assert first.pool("p") == PROMPTS[1:]
    first.close()
    second.close()


def test_a_writer_that_waits_too_long_is_told_why(ledger_url: str) -> None:
    first = Ledger(ledger_url)
    second = Ledger(ledger_url, busy_timeout_s=0.01)
    with first.database.writing(), pytest.raises(LedgerUnusable, match=r"locked|lock timeout"):
        second.add_prompts(PROMPTS)
    assert second.add_prompts(PROMPTS) == len(PROMPTS)
    first.close()
    second.close()


def test_a_failed_transaction_leaves_nothing_behind(ledger: Ledger) -> None:
    def write_and_stop() -> None:
        with ledger.database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO plans (key, batches) VALUES ('k', '[]')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert ledger.find_plan("k") is None


def test_threads_share_a_ledger(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS)
    threads = [
        threading.Thread(target=ledger.add_rollouts, args=([rollout_of(prompt, n, version) for n in range(20)],))
        for prompt in PROMPTS
        for version in (TEACHER, STUDENT)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ids = [prompt.id for prompt in PROMPTS]
    for version in (TEACHER, STUDENT):
        assert [len(rows) for rows in ledger.rollouts(version.id, "hot", ids).values()] == [20] * len(PROMPTS)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is a text file, and quite a long one at that\n" * 100)
    with pytest.raises(LedgerUnusable, match=r"ledger\.db.*not a database"):
        Ledger(path)


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="unable to open"):
        Ledger(tmp_path)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE trials (id INTEGER)")
    with pytest.raises(LedgerUnusable, match="not a ledger"):
        Ledger(tmp_path / "other.db")
    with Database(tmp_path / "other.db").reading() as held:
        assert held.exec_driver_sql("SELECT name FROM sqlite_master").scalars().all() == ["trials"]


@pytest.mark.parametrize("num", [COPY_FROM - 1, COPY_FROM, 3 * COPY_FROM])
def test_few_and_many_rows_are_added_alike(ledger: Ledger, num: int) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS[:1])
    nasty = "".join(NASTY)
    rows = [replace(rollout_of(PROMPTS[0], index), text=f"{nasty}\t{index}\\N", answer=None) for index in range(num)]
    ledger.add_rollouts(rows[: num // 2])
    ledger.add_rollouts([replace(rows[0], text="a later one of the same key"), *rows, rows[-1]])
    assert ledger.rollouts(TEACHER.id, "hot", [PROMPTS[0].id]) == {PROMPTS[0].id: tuple(rows)}


@pytest.mark.parametrize("num", [1, COPY_FROM])
def test_many_new_rows_are_counted(ledger: Ledger, num: int) -> None:
    made = [Prompt.make(f"number {index}") for index in range(num + 1)]
    assert ledger.add_prompts(made[:1], pool="p") == 1
    assert ledger.add_prompts([*made, made[0]], pool="p") == num


def test_the_last_of_several_scores_of_a_prompt_counts(ledger: Ledger) -> None:
    start(ledger)
    prompts = [Prompt.make(f"number {index}") for index in range(COPY_FROM)]
    ledger.add_prompts(prompts)
    ledger.add_scores("demo", 1, [score_of(prompt, 0.1) for prompt in prompts])
    ledger.add_scores("demo", 1, [score_of(prompts[0], 0.2), *(score_of(prompt, 0.3) for prompt in prompts)])
    assert [row.delta for row in ledger.scores("demo", 1)] == [0.3] * COPY_FROM


def test_a_value_that_a_column_cannot_hold_is_refused_whole(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS)
    rows = [rollout_of(PROMPTS[0], index) for index in range(COPY_FROM)]
    for wrong in (replace(rows[0], seed=2**70), replace(rows[0], status="unheard of")):
        for given in ([wrong], [*rows, replace(wrong, index=COPY_FROM)]):
            with pytest.raises(Unstorable):
                ledger.add_rollouts(given)
    assert ledger.rollouts(TEACHER.id, "hot", [PROMPTS[0].id]) == {}


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(UsageError, match="mysql"):
        Ledger("mysql://host/database")


def test_a_server_that_is_not_there_is_named_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="run again") as failed:
        Ledger(f"postgresql://somebody:secret@/ledger?host={tmp_path}")
    assert "secret" not in str(failed.value)


def test_a_writer_that_stops_within_a_transaction_does_not_hold_up_the_others_for_ever(
    postgresql_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.database, "IDLE_WRITER_S", 0.2)
    first, second = Ledger(postgresql_ledger), Ledger(postgresql_ledger)

    def write() -> None:
        with first.database.writing() as connection:
            second.add_prompts(PROMPTS)
            connection.exec_driver_sql("DELETE FROM pool_prompts")

    with pytest.raises(LedgerUnusable, match="run again"):
        write()
    assert second.prompts([PROMPTS[0].id]) == PROMPTS[:1]
    first.close()
    second.close()


def test_answers_are_counted_by_prompt_and_only_those_asked_for(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS[:2])
    given = ["1", "1", "\x00", None, "9"]
    rows = [replace(rollout_of(PROMPTS[0], index), canonical=answer) for index, answer in enumerate(given)]
    ledger.add_rollouts([*rows, rollout_of(PROMPTS[1], 0), rollout_of(PROMPTS[1], 0, STUDENT)])
    found = ledger.answer_counts(TEACHER.id, "hot", range(4))
    assert found == {PROMPTS[0].id: {"1": 2, "\x00": 1, None: 1}, PROMPTS[1].id: {"1": 1}}
    assert ledger.answer_counts(TEACHER.id, "cold", range(4)) == {}


def test_who_counts_answers_can_leave_the_texts_where_they_are(ledger: Ledger) -> None:
    start(ledger)
    ledger.add_prompts(PROMPTS[:1])
    ledger.add_rollouts([rollout_of(PROMPTS[0], index) for index in range(2)])
    whole = ledger.rollouts(TEACHER.id, "hot", [PROMPTS[0].id])[PROMPTS[0].id]
    bare = ledger.rollouts(TEACHER.id, "hot", [PROMPTS[0].id], texts=False)[PROMPTS[0].id]
    assert all(row.text for row in whole)
    assert bare == tuple(replace(row, text="") for row in whole)
