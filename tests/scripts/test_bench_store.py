"""The benchmark of the ledger measures what it says, on a few rows."""

from __future__ import annotations

from scripts.bench_store import BATCH, SAMPLES, Prompt, measure, rollouts


def test_the_benchmark_tells_all_three_numbers() -> None:
    found = measure("sqlite", rows=1_000, rounds=3)
    assert found.keys() == {"insert_ratio", "read_counts_s", "status_ms", "backend", "rows"}


def test_its_rows_are_distinct_samples_of_two_sides() -> None:
    num = BATCH + 7
    prompts = [Prompt.make(str(number)) for number in range(num // SAMPLES // 2 + 1)]
    batches = list(rollouts(prompts, num))
    rows = [row for batch in batches for row in batch]
    assert [len(batch) for batch in batches] == [BATCH, 7]
    assert len({(row.version, row.prompt_id, row.index) for row in rows}) == num
    assert len({row.version for row in rows}) == 2
