"""The JSON object in a reply, whatever is around it and whoever wrote it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.replies import MAX_CHARS, MAX_DEPTH, MAX_NAME_CHARS, read_name, read_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
AROUND = st.text('a "\\[]:,\n`é', max_size=9)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=2), AROUND, AROUND, st.booleans())
def test_an_object_is_found_in_any_prose(value: dict[str, Any], before: str, after: str, ascii: bool) -> None:
    assert read_object(before + json.dumps(value, ensure_ascii=ascii) + after) == value


@given(st.text(st.sampled_from('{}[]":,a1\\ue\n') | st.characters()))
def test_any_text_is_an_object_or_a_reason(text: str) -> None:
    with suppress(ValueError):
        assert json.loads(json.dumps(read_object(text), allow_nan=False)) == read_object(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('<think>maybe {"a": 2}?</think>{"a": 1}', {"a": 1}),
        ('The set {x} is meant: {"a": 1} {"a": 2}', {"a": 1}),
        ("{}", {}),
    ],
)
def test_what_models_put_around_json(text: str, value: dict[str, Any]) -> None:
    assert read_object(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON object"),
        ('["a"]', "no JSON object"),
        ('{"a": 1', "no JSON object.*delimiter"),
        ('{"a": NaN}', "NaN is no finite number"),
        ('{"a": 1e999}', "1e999 is no finite number"),
        ('{"a": ' + "9" * 10_000 + "}", "no JSON object"),
        ("{" * 100_000, "no JSON object"),
        ('{"a":' * 30_000, "nested more than"),
        (json.dumps(nested(MAX_DEPTH)), f"nested more than {MAX_DEPTH} deep"),
        ("x" * (MAX_CHARS + 1), "characters, more than"),
        ('<think>{"a": 1}', "no JSON object"),
    ],
)
def test_what_is_no_reply_and_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_object(text)


def test_the_deepest_that_is_read() -> None:
    assert read_object(json.dumps(nested(MAX_DEPTH - 1))) == nested(MAX_DEPTH - 1)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (' "Read a  legend." ', "read a legend"),
        ("Add\nthe column", "add the column"),
        ("", ""),
        (" . ", ""),
        ("\ud800", ""),
        ("a\x00b", ""),
        ("x" * MAX_NAME_CHARS, "x" * MAX_NAME_CHARS),
        ("x" * (MAX_NAME_CHARS + 1), ""),
    ],
)
def test_names_of_skills(text: str, name: str) -> None:
    assert read_name(text) == name


@given(st.text())
def test_a_name_is_its_own_name(text: str) -> None:
    assert read_name(read_name(text)) == read_name(text)
