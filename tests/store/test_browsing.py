"""What pages read, on every database that keeps ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from store.ledger import Ledger
from store.records import Fate, Origin, Prompt, PromptFilter, RolloutStatus
from tests.store.facts import PROMPTS, STUDENT, TEACHER, candidates_of, rollout_of, score_of, start

HOSTILE = Prompt.make("100%_sure? <script>\ud800\x00", (), Origin.SEED_GUIDED, PROMPTS[0].id)
GRANDCHILD = Prompt.make("And after that?", (), Origin.SKILL_GUIDED, HOSTILE.id)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url)
    start(opened)
    opened.add_prompts([*PROMPTS, HOSTILE, GRANDCHILD], pool="pool")
    opened.add_scores("demo", 1, [score_of(prompt, 0.25 * row) for row, prompt in enumerate(PROMPTS)])
    opened.add_scores("demo", 1, [score_of(HOSTILE, 3.0)])
    yield opened
    opened.close()


def found(ledger: Ledger, **wanted: object) -> list[Prompt]:
    return [row.prompt for row in ledger.page_of_scored("demo", 1, PromptFilter(**wanted), "", 100)]  # type: ignore[arg-type]


def test_pages_hold_every_scored_prompt_once(ledger: Ledger) -> None:
    seen: list[str] = []
    while page := ledger.page_of_scored("demo", 1, PromptFilter(), seen[-1] if seen else "", 4):
        assert len(page) <= 4
        assert all(row.score.prompt_id == row.prompt.id for row in page)
        seen += [row.prompt.id for row in page]
    assert seen == sorted(prompt.id for prompt in (*PROMPTS, HOSTILE))


def test_on_postgresql_a_page_begins_where_an_index_says_and_sorts_nothing(postgresql_ledger: str) -> None:
    asked: list[tuple[str, Any]] = []

    def note(connection: object, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    with Ledger(postgresql_ledger) as ledger:
        start(ledger)
        event.listen(Engine, "before_cursor_execute", note)
        ledger.page_of_scored("demo", 1, PromptFilter(), "", 50)
        ledger.page_of_scores("demo", 1, "", 50)
        ledger.page_of_pool("pool", "", 50)
        event.remove(Engine, "before_cursor_execute", note)
        pages = [(statement, parameters) for statement, parameters in asked if "LIMIT" in statement]
        assert len(pages) == 3
        for statement, parameters in pages:
            with ledger.database.reading() as connection:
                for way in ("sort", "seqscan", "bitmapscan"):  # on so few rows, the planner would take any
                    connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
                plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
            assert "_in_order on" in plan, plan
            assert "Sort" not in plan, plan


def test_filters_hold_back_what_they_say(ledger: Ledger) -> None:
    assert found(ledger, origin=Origin.SEED_GUIDED) == [HOSTILE]
    assert found(ledger, zero_delta=True) == [PROMPTS[0]]
    assert found(ledger, min_delta=1.75) == sorted([PROMPTS[7], HOSTILE], key=lambda prompt: prompt.id)
    assert found(ledger, zero_delta=True, min_delta=0.1) == []


def test_the_histogram_counts_every_prompt_once(ledger: Ledger) -> None:
    histogram = ledger.delta_histogram("demo", 1)
    assert histogram is not None
    assert (histogram.zero, sum(histogram.counts)) == (1, 8)
    assert histogram.edges[0] == 0.0
    assert histogram.edges[-1] == 3.0
    assert ledger.delta_histogram("demo", 0) is None


def test_a_lineage_leads_from_the_seed_to_the_prompt(ledger: Ledger) -> None:
    assert ledger.lineage(GRANDCHILD.id) == (PROMPTS[0], HOSTILE, GRANDCHILD)
    assert ledger.children(PROMPTS[0].id, 10) == (HOSTILE,)
    assert ledger.lineage("nowhere") == ()


def test_the_history_of_a_prompt_spans_rounds(ledger: Ledger) -> None:
    ledger.add_scores("demo", 0, [score_of(PROMPTS[1], 2.0)])
    told = ledger.history(PROMPTS[1].id)
    assert [(row.campaign, row.round, row.score.delta) for row in told] == [("demo", 0, 2.0), ("demo", 1, 0.25)]
    assert ledger.scores_of("demo", 1, [PROMPTS[1].id, GRANDCHILD.id]) == {PROMPTS[1].id: told[1].score}


def test_answers_are_counted_by_version_and_sampling(ledger: Ledger) -> None:
    prompt = PROMPTS[0]
    ledger.add_rollouts([rollout_of(prompt, index) for index in range(3)])
    ledger.add_rollouts([replace(rollout_of(prompt, 3), canonical=None, status=RolloutStatus.TRUNCATED)])
    ledger.add_rollouts([rollout_of(prompt, 0, sampling="cold"), rollout_of(PROMPTS[1], 0)])
    ledger.add_rollouts([rollout_of(prompt, 0, STUDENT)])
    told = [(row.version, row.sampling, row.answer, row.num) for row in ledger.answers(prompt.id, [TEACHER.id])]
    assert told == [(TEACHER.id, "cold", "1", 1), (TEACHER.id, "hot", "1", 3), (TEACHER.id, "hot", None, 1)]


def test_rejected_candidates_come_by_reason(ledger: Ledger) -> None:
    ledger.add_candidates("demo", 1, candidates_of(PROMPTS[0]))
    counts = {row.fate: row.num for row in ledger.fates("demo")}
    assert counts == dict.fromkeys((Fate.ADMITTED, Fate.ZERO_DELTA, Fate.DUPLICATE, Fate.UNPARSED), 1)
    assert [row.position for row in ledger.page_of_candidates("demo", 1, None, -1, 2)] == [1, 2]
    assert [row.position for row in ledger.page_of_candidates("demo", 1, None, 2, 2)] == [3]
    zero = ledger.page_of_candidates("demo", 1, Fate.ZERO_DELTA, -1, 9)
    assert [row.candidate.fate for row in zero] == [Fate.ZERO_DELTA]
    both = ledger.candidacies(zero[0].candidate.prompt.id)
    assert both == zero
