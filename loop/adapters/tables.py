"""Tables of prompts: whatever a user names becomes numbered rows, streamed, never the whole of it in memory.

prompts.jsonl, prompts.csv        lines, read here: a bad line costs only itself
prompts.json                      one array of objects, likewise
prompts.parquet, a data folder    by `datasets`, streaming, images left undecoded
a `save_to_disk` folder           by `datasets`, memory-mapped
a folder with metadata.*          its metadata file; pictures are paths beside it
owner/name                        a data set of the hub, streamed by `datasets`
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

from loop.adapters.columns import find_question
from loop.adapters.json_array import is_array, read_elements
from loop.adapters.jsonl import MAX_LINE_BYTES, Refused, read_entries
from loop.intake import Source
from loop.paths import DATASET_NAME
from store.errors import DeltaloopError, UsageError

T = TypeVar("T")
Rows = Iterator[tuple[int, dict[str, Any] | Refused]]
FILES = (".jsonl", ".json", ".csv", ".parquet")
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
SAVED = ("dataset_dict.json", "state.json")
"""What `save_to_disk` writes: the first for several splits, the second for one."""
DEFAULT_SPLIT = "train"
BATCH_ROWS = 256
"""Rows that Arrow hands over at once; pictures and all, they are in memory twice."""
LOOKED_AT = 100
"""Rows at the beginning that must show the columns that are asked for."""


@dataclass(frozen=True)
class Table:
    """Numbered rows, counted from 1, and what is known of them before they are read."""

    name: str
    """For people, e.g. `prompts.jsonl`."""
    rows: Rows
    total: int | None
    folder: Path | None
    """What paths in cells are relative to, and must not leave; None if cells may hold no paths."""


def open_table(source: Source, *, what: str) -> Table:
    """The table that a source names; `what` says in errors who named it, e.g. `pool.source`.

    UsageError, at once, if there is nothing to read, or if its first rows lack a column that is asked for.
    """
    path = Path(source.name).expanduser()
    if path.is_file():
        table = _of_file(path, path.name, what)
    elif path.is_dir():
        table = _of_folder(path, source, what)
    elif DATASET_NAME.fullmatch(source.name):
        table = _of_hub(source, what)
    else:
        raise UsageError(
            f"{what} = {source.name!r}: no such file or folder is here; correct the path, or name a data set of the hub"
            " as owner/name"
        )
    return _looked_at(table, source, what)


def _of_file(path: Path, name: str, what: str) -> Table:
    if not os.access(path, os.R_OK):
        raise UsageError(f"{what} = {str(path)!r} cannot be read; change its permissions, or name another file")
    if path.suffix == ".jsonl":
        return Table(name, read_entries(path), _num_lines(path), path.parent)
    if path.suffix == ".json":
        if not is_array(path):
            raise UsageError(f"{what} = {str(path)!r} is no JSON array; name it .jsonl if each line is an object")
        return Table(name, read_elements(path), None, path.parent)
    if path.suffix == ".csv":
        return Table(name, _csv_rows(path), None, path.parent)
    if path.suffix == ".parquet":
        return _of_parquet([path], name, path.parent, what)
    raise UsageError(f"{what} = {str(path)!r}: files may end in {', '.join(FILES)}; convert it to one of these")


def _of_folder(path: Path, source: Source, what: str) -> Table:
    if any((path / name).is_file() for name in SAVED):
        return _of_saved(path, source, what)
    for folder in (path, path / (source.split or DEFAULT_SPLIT)):
        for name in METADATA:
            if (folder / name).is_file():
                return _of_file(folder / name, f"{folder.name}/{name}", what)
    if next(path.rglob("*.parquet"), None) is not None:
        return _of_parquet_folder(path, source, what)
    raise UsageError(
        f"{what} = {str(path)!r}: the folder holds neither {', '.join(METADATA)} nor Parquet files, and `save_to_disk`"
        " did not write it; name a folder or file that does"
    )


def _of_parquet(paths: Sequence[Path], name: str, folder: Path, what: str) -> Table:
    """By Arrow itself: `datasets` would load torch to stream the same batches."""
    import pyarrow
    import pyarrow.parquet

    try:
        files = [pyarrow.parquet.ParquetFile(path) for path in paths]
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{what} = {str(paths[0])!r} is no whole Parquet file: {error}; name another file") from None
    batches = (batch for file in files for batch in file.iter_batches(BATCH_ROWS))
    return Table(name, _numbered(name, _dicts(batches)), sum(file.metadata.num_rows for file in files), folder)


def _of_saved(path: Path, source: Source, what: str) -> Table:
    import datasets

    try:
        saved = datasets.load_from_disk(str(path))
        if isinstance(saved, datasets.DatasetDict):
            saved = saved[_split_of(source, list(saved), what)]
    except UsageError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UsageError(f"{what} = {str(path)!r} cannot be read by `datasets`: {error}; save it again") from None
    batches = saved.with_format("arrow").iter(BATCH_ROWS)
    return Table(path.name, _numbered(path.name, _dicts(batches)), len(saved), path)


def _of_parquet_folder(path: Path, source: Source, what: str) -> Table:
    """The splits of a folder are what `datasets` makes of it: by its card, or by the names of its files."""
    files = _opened(lambda datasets: datasets.load_dataset_builder(str(path)).config.data_files, source, what)
    split = _split_of(source, [str(name) for name in files], what)
    return _of_parquet([Path(file) for file in files[split]], path.name, path, what)


def _of_hub(source: Source, what: str) -> Table:
    """Streamed. `datasets` runs no program of a data set."""
    builder = _opened(lambda datasets: datasets.load_dataset_builder(source.name, source.subset), source, what)
    known = builder.info.splits or {}
    split = _split_of(source, [*known] or [str(name) for name in builder.config.data_files or ()], what)
    rows = _opened(lambda _: builder.as_streaming_dataset(split=split).decode(False), source, what)
    total = known[split].num_examples if split in known else None
    return Table(source.name, _numbered(source.name, rows), total or None, None)


def _opened(open_: Callable[[Any], T], source: Source, what: str) -> T:
    """What `datasets` gives. UsageError for all that goes wrong: connection, rights, names, formats."""
    import datasets

    datasets.disable_progress_bars()
    try:
        return open_(datasets)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"{what} = {source.name!r} cannot be opened by `datasets`: {reason}; correct the path or the name"
        ) from None


def _split_of(source: Source, splits: list[str], what: str) -> str:
    if source.split in splits:
        return source.split
    if source.split is None and DEFAULT_SPLIT in splits:
        return DEFAULT_SPLIT
    if source.split is None and len(splits) == 1:
        return splits[0]
    raise UsageError(f"{what} = {source.name!r}: its splits are {', '.join(splits)}; name one of them with --split")


def _numbered(name: str, rows: Iterable[dict[str, Any]]) -> Rows:
    number = 0
    try:
        for number, row in enumerate(rows, start=1):
            yield number, row
    except Exception as error:  # Arrow's and the network's, of every class
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DeltaloopError(
            f"{name} cannot be read beyond row {number}: {reason}; what was read is kept; mend it and import it again"
        ) from error


def _dicts(batches: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The rows of Arrow batches; images stay as they are stored."""
    return (row for batch in batches for row in batch.to_pylist())


def _csv_rows(path: Path) -> Rows:
    """Rows of a CSV file, the header aside; bytes that are no UTF-8 become lone surrogates, and are refused as such."""
    csv.field_size_limit(MAX_LINE_BYTES)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        number = 0
        while True:
            number += 1
            try:
                row: dict[Any, Any] = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, Refused(f"unreadable row: not CSV: {error}")
                continue
            if None in row or None in row.values():
                yield number, Refused("unreadable row: it has another number of cells than the header")
                continue
            yield number, row


def _num_lines(path: Path) -> int:
    """As many as there are rows, unless lines are blank: good enough for a progress bar."""
    num, last = 0, b"\n"
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            num, last = num + block.count(b"\n"), block[-1:]
    return num + (last != b"\n")


def _looked_at(table: Table, source: Source, what: str) -> Table:
    """The table again, after one of its first rows was found to have the columns that are asked for."""
    columns, first, seen = source.columns, [], dict[str, None]()
    asked = (columns.question, *columns.images, columns.answer, columns.skill, *columns.attributes)
    absent, found = [], False
    for numbered in islice(table.rows, LOOKED_AT):
        first.append(numbered)
        row = numbered[1]
        if isinstance(row, Refused):
            continue
        seen |= dict.fromkeys(map(str, row))
        absent = [name for name in asked if name is not None and name not in seen]
        found = found or find_question(row, columns) is not None
        if found and not absent:
            break
    if absent:
        raise UsageError(f"{what} = {source.name!r} has no column `{absent[0]}`; it has {', '.join(seen)}")
    if seen and not found:
        raise UsageError(
            f"{what} = {source.name!r}: none of its columns looks like a question ({', '.join(seen)}); name it with"
            " --question"
        )
    return Table(table.name, chain(first, table.rows), table.total, table.folder)
