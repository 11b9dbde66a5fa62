"""Speed of the ledger beside bare SQL: `python -m scripts.bench_store [--backend sqlite|postgresql] [--rows 1000000]`.

    insert    rollouts through the ledger, against the same rows by bare executemany (SQLite) or COPY (PostgreSQL) into
              a table with the same schema, indices and settings, committed in batches of the same size
    counts    answer counts by prompt, of both sides, for a round
    status    of a campaign of many rounds, as `deltaloop status --json` computes it

Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from store.blobs import FileBlobs
from store.ledger import Ledger
from store.records import (
    CampaignRow,
    Prompt,
    Role,
    Rollout,
    RolloutStatus,
    Score,
    Scores,
    Spent,
    Status,
    Version,
    digest_of,
)

SAMPLES = 16
"""Per prompt and side."""

BATCH = 10_000
"""Rows in a transaction."""

NAMES = ("version", "sampling", "prompt_id", "index", "seed", "text", "status", "answer", "canonical", "num_tokens")
COLUMNS = ", ".join(f'"{name}"' for name in NAMES)
SIDES = (Version("t" * 64, Role.TEACHER, "bench:teacher"), Version("s" * 64, Role.STUDENT, "bench:student"))
SAMPLING = "5a" * 32
TEXT = "The bar of May is {a} and that of June is {b}, so June has more by {c}. Answer: {c}"


def rollouts(prompts: Sequence[Prompt], rows: int) -> Iterator[list[Rollout]]:
    """The rows of the benchmark, in batches, as a round draws them: side by side, prompt by prompt."""
    batch: list[Rollout] = []
    for number in range(rows):
        side, place = divmod(number, (rows + 1) // 2)
        prompt, index = prompts[place // SAMPLES], place % SAMPLES
        answer = str(place % 7)
        text = TEXT.format(a=place % 97, b=place % 89, c=answer)
        batch.append(
            Rollout(
                prompt.id,
                SIDES[side].id,
                SAMPLING,
                index,
                number * 7919,
                text,
                RolloutStatus.ANSWERED,
                answer,
                answer,
                24,
            )
        )
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def as_tuples(batch: Sequence[Rollout]) -> list[tuple[Any, ...]]:
    """What a bare driver takes."""
    plain = (vars(row) | {"status": row.status.value} for row in batch)
    return [tuple(values[name] for name in NAMES) for values in plain]


def filled(url: str, prompts: Sequence[Prompt]) -> Ledger:
    """A ledger with everything that rollouts refer to."""
    ledger = Ledger(url)
    for side in SIDES:
        ledger.add_version(side)
    ledger.add_prompts(prompts, pool="bench")
    return ledger


def bare_sqlite(ledger: Ledger) -> Callable[[Any], object]:
    """executemany on a connection with the ledger's settings."""
    import sqlite3

    connection = sqlite3.connect(str(ledger.database.url.database), isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    marks = ", ".join("?" * len(NAMES))

    def write(rows: list[tuple[Any, ...]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"INSERT INTO rollouts ({COLUMNS}) VALUES ({marks})", rows)
        connection.execute("COMMIT")

    return write


def bare_postgresql(ledger: Ledger) -> Callable[[Any], object]:
    """COPY straight into the table."""
    import psycopg

    url = ledger.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg.connect(url)

    def write(rows: list[tuple[Any, ...]]) -> None:
        with connection.cursor().copy(f"COPY rollouts ({COLUMNS}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.commit()

    return write


def seconds(work: Callable[[], object]) -> float:
    """What a piece of work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def read_counts(ledger: Ledger, prompts: Sequence[Prompt]) -> None:
    """Read back the answer counts of both sides."""
    for side in SIDES:
        counts = ledger.answer_counts(side.id, SAMPLING, range(SAMPLES))
        assert len(counts) >= len(prompts)
        assert sum(counts[prompts[0].id].values()) == SAMPLES


def status_ms(folder: Path, rounds: int) -> float:
    """Milliseconds for the object of `status --json`, of a campaign whose rounds each scored a thousand prompts."""
    from loop.status import summary_of

    blobs = FileBlobs(folder / "blobs")
    with Ledger(folder / "status.db") as ledger:
        row = add_campaign(ledger, blobs, rounds)
        summary_of(ledger, blobs, row, folder / "summaries")  # as the run itself does after each round
        return 1000 * seconds(partial(summary_of, ledger, blobs, row, folder / "summaries"))


def add_campaign(ledger: Ledger, blobs: FileBlobs, rounds: int) -> CampaignRow:
    """A campaign of which each round has scored a thousand prompts."""
    from pydantic import TypeAdapter

    ledger.start_campaign("bench", seed=0, pool="bench", identity="bench")
    teacher, student = (side.id for side in SIDES)
    fields = {"settings": {"smoothing": 0.05}, "zero_delta": False, "consistency": 0.9, "student_agreement": 0.4}
    scores = tuple(
        Score(digest_of(number), student, teacher, 0.5, 0.1, 0.9, 16, 16, "plug_in", **fields)  # type: ignore[arg-type]
        for number in range(1000)
    )
    for index in range(1, rounds + 1):
        ledger.start_round("bench", index, settings="{}", commit="", dirty=False)
        output = blobs.put(TypeAdapter(Scores).dump_json(Scores(f"student {index}", scores, Spent(student_samples=16))))
        ledger.start_stage("bench", index, "score", {})
        ledger.end_stage("bench", index, "score", Status.COMPLETED, seconds=1.0, output=output)
        ledger.end_round("bench", index, Status.COMPLETED)
    row = ledger.find_campaign("bench")
    assert row is not None
    return row


def measure(backend: str, rows: int, rounds: int) -> dict[str, object]:
    """All three; prints what it finds."""
    prompts = [Prompt.make(f"question {number}") for number in range(rows // SAMPLES // 2 + 1)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deltaloop-bench-")))
        if backend == "postgresql":
            from scripts.postgresql_server import running_server

            server = stack.enter_context(running_server())
            urls = [server.new_database() for _ in range(2)]
        else:
            urls = [f"sqlite:///{folder}/{name}.db" for name in ("bare", "ledger")]
        bare, ledger = (stack.enter_context(closing(filled(url, prompts))) for url in urls)
        bare_write = bare_postgresql(bare) if backend == "postgresql" else bare_sqlite(bare)
        # Batch by batch in turns, so that other work on the machine slows both alike.
        spent = {"bare": 0.0, "ledger": 0.0}
        for batch in rollouts(prompts, rows):
            ready = as_tuples(batch)
            spent["bare"] += seconds(partial(bare_write, ready))
            spent["ledger"] += seconds(partial(ledger.add_rollouts, batch))
        print(*(f"{name}: {rows / wall_s:,.0f} rows/s" for name, wall_s in spent.items()), sep="\n", flush=True)
        cpu_s = -time.process_time()
        read_s = seconds(partial(read_counts, ledger, prompts[: rows // SAMPLES // 2]))
        cpu_s += time.process_time()
        print(f"counts of {rows:,} rollouts: {read_s:.2f} s, {cpu_s:.2f} s of CPU in this process", flush=True)
        shown_ms = status_ms(folder, rounds)
        print(f"status of {rounds} rounds: {shown_ms:.0f} ms", flush=True)
    return {
        "insert_ratio": round(spent["bare"] / spent["ledger"], 3),
        "read_counts_s": round(read_s, 2),
        "status_ms": round(shown_ms),
        "backend": backend,
        "rows": rows,
    }


def main() -> None:
    """Run the benchmark on one kind of ledger."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backend", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.backend, chosen.rows, chosen.rounds)))


if __name__ == "__main__":
    main()
