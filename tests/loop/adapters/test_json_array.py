"""Elements of a JSON array: those that `json` reads, whatever is around them, and a reason for every other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loop.adapters import json_array
from loop.adapters.json_array import is_array, read_elements
from loop.adapters.jsonl import Refused

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=3)
CHUNKS = st.integers(1, 40)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("array") / "x.json"


def read(file: Path, data: bytes, chunk_bytes: int = 1 << 20) -> list[dict[str, Any] | str]:
    """The elements, and the reasons for those that are none; their numbers are checked."""
    file.write_bytes(data)
    numbers, elements = zip(*read_elements(file, chunk_bytes=chunk_bytes), strict=True) if data else ((), ())
    assert list(numbers) == list(range(1, len(numbers) + 1))
    return [str(one) if isinstance(one, Refused) else one for one in elements]


@given(
    rows=st.lists(OBJECTS, min_size=1, max_size=5),
    chunk_bytes=CHUNKS,
    indent=st.sampled_from([None, 0, 2]),
    ascii_=st.booleans(),
    before=st.sampled_from(["", "\n ", "\ufeff"]),
)
def test_an_array_is_what_json_reads(
    file: Path, rows: list[dict[str, Any]], chunk_bytes: int, indent: int | None, ascii_: bool, before: str
) -> None:
    data = before + json.dumps(rows, indent=indent, ensure_ascii=ascii_) + "\n"
    assert read(file, data.encode("utf-8", "surrogatepass"), chunk_bytes) == json.loads(data.lstrip("\ufeff"))


@given(
    rows=st.lists(OBJECTS, min_size=1, max_size=4),
    place=st.integers(0, 4),
    bad=st.sampled_from([b'{"a": nope}', b"", b'{"a": "\xff"}', b'{"a": 1}}', b'{"a": ]', b"7", b"[{}]", b'"{,["']),
    chunk_bytes=CHUNKS,
)
def test_a_bad_element_costs_only_itself(
    file: Path, rows: list[dict[str, Any]], place: int, bad: bytes, chunk_bytes: int
) -> None:
    parts = [json.dumps(row).encode() for row in rows]
    place = min(place, len(parts))
    found = read(file, b"[" + b",".join([*parts[:place], bad, *parts[place:]]) + b"]", chunk_bytes)
    told = found.pop(place)
    assert isinstance(told, str)
    assert told.startswith("unreadable row: not ")
    assert found == rows


@given(data=st.binary(max_size=60) | st.text('[]{},"\\ a1:', max_size=60).map(str.encode), chunk_bytes=CHUNKS)
def test_no_bytes_raise_anything(file: Path, data: bytes, chunk_bytes: int) -> None:
    file.write_bytes(b"[" + data)
    for _, element in read_elements(file, chunk_bytes=chunk_bytes):
        assert isinstance(element, dict | Refused)


def test_an_empty_array_has_no_element_and_what_is_cut_off_or_too_much_is_told(file: Path) -> None:
    file.write_bytes(b" [ ] ")
    assert list(read_elements(file)) == []
    assert read(file, b'[{"a": 1}, {"a"') == [{"a": 1}, "unreadable row: the file ends before its array does"]
    assert read(file, b'[{"a": 1}] [{}]') == [{"a": 1}, "unreadable row: text after the end of the array"]


def test_a_long_element_is_refused_and_not_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "MAX_LINE_BYTES", 50)
    found = read(file, json.dumps([{"a": "x" * 500}, {"b": 1}]).encode(), 7)
    assert found == ["unreadable row: the element is longer than 50 bytes", {"b": 1}]


def test_only_an_array_is_taken_for_one(file: Path) -> None:
    for data, expected in ((b"\xef\xbb\xbf\n [1]", True), (b'{"a": [1]}', False), (b"", False)):
        file.write_bytes(data)
        assert is_array(file) is expected
