"""Exported prompts as Parquet shards that `datasets.load_dataset` reads back, pictures inside.

chunks of rows -> Arrow tables with the features of `datasets` in their schema -> <folder>/train-00000.parquet, ...
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHARD_BYTES = 256 << 20
"""A shard is closed when its tables had so many bytes; rows are never split."""


def write_shards(chunks: Iterator[list[dict[str, Any]]], folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write the rows into a new folder. One chunk is in memory at a time."""
    import pyarrow
    import pyarrow.parquet

    schema = _schema()
    folder.mkdir()
    writer, size, num = None, 0, 0
    try:
        for rows in chunks:
            table = pyarrow.Table.from_pylist(rows, schema=schema)
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(folder / f"train-{num:05}.parquet", schema)
                size, num = 0, num + 1
            writer.write_table(table)
            size += table.nbytes
            if size >= shard_bytes:
                writer.close()
                writer = None
    finally:
        if writer is not None:
            writer.close()


def _schema() -> Any:
    import datasets

    text, number = datasets.Value("string"), datasets.Value("float64")
    flag, count = datasets.Value("bool"), datasets.Value("int32")
    return datasets.Features(
        {
            "id": text,
            "question": text,
            "images": datasets.List(datasets.Image()),
            "teacher_answer": text,
            "teacher_answers": datasets.List({"answer": text, "count": count}),
            "consistency": number,
            "delta": number,
            "delta_low": number,
            "delta_high": number,
            "predicted": flag,
            "zero_delta": flag,
            "differs": flag,
            "p_value": number,
            "noise_floor": number,
            "student_samples": count,
            "teacher_samples": count,
            "region": count,
            "skill": text,
            "origin": text,
            "parent": text,
            "attributes": text,
            "campaign": text,
            "round": count,
            "student": text,
            "teacher": text,
        }
    ).arrow_schema
