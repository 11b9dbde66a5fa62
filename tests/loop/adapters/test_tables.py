"""Tables of every kind give the same prompts, with the number of the row; what breaks in the middle is told."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from PIL import Image

from loop.adapters.images import to_png
from loop.adapters.sources import open_prompts
from loop.adapters.suites import Aside
from loop.intake import Columns, Source
from store.blobs import FileBlobs
from store.errors import DeltaloopError, UsageError
from store.records import Prompt, Quarantined

PICTURES = [to_png(Image.new("RGB", (9, 9), colour)) for colour in ("red", "green", "blue")]
HALF = PICTURES[1][: len(PICTURES[1]) // 2]
QUESTIONS = ["first ?", "", "third ?", "=1+1 <b>\x07"]
IMAGES = [PICTURES[0], PICTURES[1], HALF, PICTURES[2]]


@pytest.fixture
def blobs(tmp_path: Path) -> Aside:
    return Aside(FileBlobs(tmp_path / "blobs"))


def as_table() -> datasets.Dataset:
    features = datasets.Features({"query": datasets.Value("string"), "image": datasets.Image()})
    cells = [{"bytes": data, "path": None} for data in IMAGES]
    return datasets.Dataset.from_dict({"query": QUESTIONS, "image": cells}, features=features)


def written(folder: Path) -> list[str]:
    """The pictures as files, by name."""
    folder.mkdir(parents=True)
    for number, data in enumerate(IMAGES):
        (folder / f"{number}.png").write_bytes(data)
    return [f"{number}.png" for number in range(len(IMAGES))]


def jsonl(folder: Path) -> Path:
    rows = zip(QUESTIONS, written(folder), strict=True)
    (folder / "x.jsonl").write_text("\n".join(json.dumps({"question": q, "image": name}) for q, name in rows))
    return folder / "x.jsonl"


def llava(folder: Path) -> Path:
    rows = []
    for question, name in zip(QUESTIONS, written(folder / "pictures"), strict=True):
        turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": "Nothing."}]
        rows.append({"id": name, "image": f"pictures/{name}", "conversations": turns})
    (folder / "x.json").write_text(json.dumps(rows, indent=2))
    return folder / "x.json"


def jsonl_with_data_urls(folder: Path) -> Path:
    folder.mkdir()
    with (folder / "x.jsonl").open("w") as stream:
        for question, data in zip(QUESTIONS, IMAGES, strict=True):
            url = {"url": f"data:image/png;base64,{base64.b64encode(data).decode()}"}
            parts = [{"type": "image_url", "image_url": url}, {"type": "text", "text": question}]
            print(json.dumps({"messages": [{"role": "user", "content": parts}]}), file=stream)
    return folder / "x.jsonl"


def image_folder(folder: Path) -> Path:
    names = written(folder)
    with (folder / "metadata.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file_name", "question"), *zip(names, QUESTIONS, strict=True)])
    return folder


def image_folder_of_splits(folder: Path) -> Path:
    names = written(folder / "train")
    rows = zip(names, QUESTIONS, strict=True)
    lines = [json.dumps({"file_name": name, "question": question}) for name, question in rows]
    (folder / "train" / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def parquet(folder: Path) -> Path:
    folder.mkdir()
    as_table().to_parquet(folder / "x.parquet")
    return folder / "x.parquet"


def parquet_of_plain_bytes(folder: Path) -> Path:
    folder.mkdir()
    datasets.Dataset.from_dict({"question": QUESTIONS, "image": IMAGES}).to_parquet(folder / "x.parquet")
    return folder / "x.parquet"


def data_folder(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    as_table().select(range(2)).to_parquet(folder / "data" / "train-00000-of-00002.parquet")
    as_table().select(range(2, 4)).to_parquet(folder / "data" / "train-00001-of-00002.parquet")
    as_table().to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    return folder


def saved(folder: Path) -> Path:
    as_table().save_to_disk(folder)
    return folder


def saved_splits(folder: Path) -> Path:
    datasets.DatasetDict({"train": as_table(), "test": as_table().select([0])}).save_to_disk(folder)
    return folder


KINDS: list[Callable[[Path], Path]] = [
    jsonl,
    llava,
    jsonl_with_data_urls,
    image_folder,
    image_folder_of_splits,
    parquet,
    parquet_of_plain_bytes,
    data_folder,
    saved,
    saved_splits,
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gives_the_same(tmp_path: Path, blobs: Aside, kind: Callable[[Path], Path]) -> None:
    entries, _ = open_prompts(Source(str(kind(tmp_path / "set"))), blobs, what="SOURCE")
    first, empty, broken, last = entries
    assert isinstance(first, Prompt)
    assert isinstance(last, Prompt)
    assert [first.question, last.question] == [QUESTIONS[0], QUESTIONS[3]]
    assert [blobs.get(digest) for digest in (*first.images, *last.images)] == [PICTURES[0], PICTURES[2]]
    assert isinstance(empty, Quarantined)
    assert isinstance(broken, Quarantined)
    assert [row.source.rpartition(":")[2] for row in (empty, broken)] == ["2", "3"]
    assert empty.reason == "empty question"
    assert broken.reason.startswith("undecodable image: ")
    assert broken.question.endswith(QUESTIONS[2])


def test_a_split_may_be_named_and_an_absent_one_is_refused(tmp_path: Path, blobs: Aside) -> None:
    for folder in (saved_splits(tmp_path / "saved"), data_folder(tmp_path / "data")):
        entries, total = open_prompts(Source(str(folder), split="test"), blobs, what="SOURCE")
        assert len(list(entries)) == total
        with pytest.raises(UsageError, match=r"test.*--split"):
            open_prompts(Source(str(folder), split="dev"), blobs, what="SOURCE")


def test_columns_that_are_not_there_are_refused_at_once(tmp_path: Path, blobs: Aside) -> None:
    path = str(jsonl(tmp_path / "set"))
    with pytest.raises(UsageError, match=r"no column `ask`; it has question, image"):
        open_prompts(Source(path, Columns(question="ask")), blobs, what="SOURCE")
    (tmp_path / "y.jsonl").write_text('{"a": "b"}\n')
    with pytest.raises(UsageError, match=r"looks like a question.*--question"):
        open_prompts(Source(str(tmp_path / "y.jsonl")), blobs, what="SOURCE")


def test_a_json_file_that_is_no_array_is_refused_at_once(tmp_path: Path, blobs: Aside) -> None:
    (tmp_path / "x.json").write_text('{"question": "one ?"}\n{"question": "two ?"}\n')
    with pytest.raises(UsageError, match=r"no JSON array; name it \.jsonl"):
        open_prompts(Source(str(tmp_path / "x.json")), blobs, what="SOURCE")


def test_a_metadata_file_cannot_name_a_file_outside_its_folder(tmp_path: Path, blobs: Aside) -> None:
    folder = image_folder(tmp_path / "set")
    (tmp_path / "secret.png").write_bytes(PICTURES[0])
    (folder / "metadata.csv").write_text(f"file_name,question\n../secret.png,a ?\n{tmp_path}/secret.png,b ?\n")
    entries, _ = open_prompts(Source(str(folder)), blobs, what="SOURCE")
    assert ["lies outside" in row.reason for row in entries if isinstance(row, Quarantined)] == [True, True]


def test_bad_csv_rows_cost_only_themselves(tmp_path: Path, blobs: Aside) -> None:
    (tmp_path / "x.csv").write_bytes(
        b'question,skill\none ?,a\ntwo ?\nthree ?,a,b\nfo\xffur ?,a\n"five" x,a\nsix ?,a\n'
    )
    entries, _ = open_prompts(Source(str(tmp_path / "x.csv")), blobs, what="SOURCE")
    rows = list(entries)
    assert [row.question for row in rows if isinstance(row, Prompt)] == ["one ?", "six ?"]
    assert [row.reason.partition(":")[0] for row in rows if isinstance(row, Quarantined)] == [
        "unreadable row",
        "unreadable row",
        "undecodable question",
        "unreadable row",
    ]


def test_a_parquet_file_that_breaks_in_the_middle_says_how_far_it_came(tmp_path: Path, blobs: Aside) -> None:
    path = tmp_path / "x.parquet"
    table = datasets.Dataset.from_dict({"question": [f"{n} ?" for n in range(600)]})
    table.to_parquet(path, batch_size=100)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle - 300 : middle + 300] = b"\xff" * 600
    path.write_bytes(data)
    entries, _ = open_prompts(Source(str(path)), blobs, what="SOURCE")
    with pytest.raises(DeltaloopError, match=r"x\.parquet cannot be read beyond row \d+"):
        list(entries)
    path.write_bytes(data[:middle])
    with pytest.raises(UsageError, match="no whole Parquet file"):
        open_prompts(Source(str(path)), blobs, what="SOURCE")


def test_a_data_set_of_the_hub_that_cannot_be_reached_is_one_clear_error(
    blobs: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="'nobody/nothing' cannot be opened by `datasets`") as caught:
        open_prompts(Source("nobody/nothing"), blobs, what="SOURCE")
    assert "\n" not in str(caught.value)


def test_pictures_and_rows_of_one_batch_are_stored_once(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    rows = [{"question": f"{n} ?", "image": "0.png"} for n in range(20)]
    written(tmp_path / "set")
    (tmp_path / "set" / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    entries, total = open_prompts(Source(str(tmp_path / "set" / "x.jsonl")), blobs, what="SOURCE")
    assert len({entry.images for entry in entries if isinstance(entry, Prompt)}) == 1
    assert total == 20
    assert len(list(blobs)) == 1
