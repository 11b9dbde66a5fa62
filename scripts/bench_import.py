"""How fast prompts come in, and in how much memory, beside reading the same file with `datasets` alone.

    python -m scripts.bench_import [--rows 200000] [--seed 0] [--folder DIR]

Writes a Parquet file of ChartQA-shaped rows, each with a picture of its own and two in a hundred of them bad, imports
it into a fresh home, and reads it with `datasets`, decoding every picture; each in a process of its
own. Prints a line for each and a last line of JSON. Rows per second of CPU do not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from loop.intake import Intake
from scripts.memory import peak_mb

SIDE = 96
BASES = 64
"""Pictures that are really drawn; each row's own is one of them with a text of its own inside."""
BAD_EVERY = 50
CHUNK = 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where scratch goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        print(json.dumps(bench(options.rows, options.seed, Path(scratch))))


def bench(rows: int, seed: int, folder: Path) -> dict[str, Any]:
    """Both measurements; the numbers of the last line."""
    source, home = folder / "prompts.parquet", folder / "home"
    write_source(source, rows, np.random.default_rng(seed))
    print(f"{rows} rows, {source.stat().st_size / 1e6:.0f} MB of Parquet")
    first = measured("import", import_source, rows, source, home)
    alone = measured("datasets alone", read_alone, rows, source)
    taken: Intake = first["result"]
    return {
        "rows": rows,
        "rows_per_s": first["rows_per_s"],
        "rows_per_cpu_s": first["rows_per_cpu_s"],
        "baseline_rows_per_s": alone["rows_per_s"],
        "baseline_rows_per_cpu_s": alone["rows_per_cpu_s"],
        "ratio": round(first["rows_per_cpu_s"] / alone["rows_per_cpu_s"], 3),
        "peak_mb": first["peak_mb"],
        "baseline_peak_mb": alone["peak_mb"],
        "added": taken.added,
        "quarantined": taken.quarantined,
    }


def measured(label: str, work: Callable[..., Any], rows: int, *arguments: Any) -> dict[str, Any]:
    """Do a piece of work in a fresh process: rows per second, and its peak memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result, seconds, cpu_s, peak = pool.apply(_timed, (work, arguments))
    found = {"result": result, "rows_per_s": round(rows / seconds, 1), "rows_per_cpu_s": round(rows / cpu_s, 1)}
    print(
        f"{label}: {found['rows_per_s']} rows/s, {found['rows_per_cpu_s']} rows a second of CPU, {peak:.0f} MB",
        flush=True,
    )
    return found | {"peak_mb": round(peak, 1)}


def _timed(work: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float, float, float]:
    begun, cpu = time.monotonic(), time.process_time()
    result = work(*arguments)
    return result, time.monotonic() - begun, time.process_time() - cpu, peak_mb()


def import_source(source: Path, home: Path) -> Intake:
    """What `deltaloop import` does."""
    from loop.bootstrap import open_home, open_prompts
    from loop.intake import Source, take_in

    place = open_home(home)
    entries, _ = open_prompts(place, Source(str(source)))
    taken = take_in(entries, "bench", place.ledger, lambda done: None)
    place.close()
    return taken


def read_alone(source: Path) -> int:
    """Every row and every picture that decodes, with `datasets` and nothing else; how many decode."""
    import datasets

    rows = datasets.load_dataset("parquet", data_files=str(source), split="train", streaming=True).decode(False)
    image, num = datasets.Image(), 0
    for row in rows:
        try:
            image.decode_example(row["image"])
            num += 1
        except (OSError, TypeError, ValueError, AttributeError):
            continue
    return num


def write_source(path: Path, rows: int, rng: np.random.Generator) -> None:
    """A Parquet file as `datasets` writes one."""
    import datasets
    import pyarrow
    import pyarrow.parquet

    features = datasets.Features(
        {"image": datasets.Image(), "query": datasets.Value("string"), "label": datasets.List(datasets.Value("string"))}
    )
    schema, bases = features.arrow_schema, [_chart(rng) for _ in range(BASES)]
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, CHUNK):
            numbers = range(start, min(start + CHUNK, rows))
            writer.write_table(pyarrow.Table.from_pylist(list(_rows(numbers, bases)), schema=schema))


def _rows(numbers: range, bases: list[bytes]) -> Iterator[dict[str, Any]]:
    for number in numbers:
        data = _signed(bases[number % len(bases)], number)
        row: dict[str, Any] = {
            "image": {"bytes": data, "path": f"{number}.png"},
            "query": f"How much higher is bar {number % 7} than bar {number % 5}?",
            "label": [str(number)],
        }
        if number % BAD_EVERY == BAD_EVERY - 1:
            fault = number // BAD_EVERY % 3
            row |= ({"image": None}, {"query": " "}, {"image": {"bytes": data[: len(data) // 2], "path": None}})[fault]
        yield row


def _chart(rng: np.random.Generator) -> bytes:
    """Bars."""
    pixels = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    for bar in range(6):
        pixels[SIDE - rng.integers(8, SIDE) :, 16 * bar + 2 : 16 * bar + 14] = rng.integers(0, 256, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _signed(png: bytes, number: int) -> bytes:
    """The picture with a text chunk before its last one (IEND, 12 bytes): other bytes, the same pixels."""
    text = b"tEXtnumber\0" + str(number).encode()
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return png[:-12] + chunk + png[-12:]


if __name__ == "__main__":
    main()
