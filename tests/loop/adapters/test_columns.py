"""Rows of all usual shapes become drafts; what is missing or of another type is refused with its reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loop.adapters.columns import Draft, read_row
from loop.adapters.jsonl import Refused
from loop.intake import Columns

IMAGE = {"bytes": b"picture", "path": None}
OTHER = {"bytes": b"other picture", "path": None}


def part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def user(*parts: object) -> dict[str, object]:
    return {"role": "user", "content": list(parts)}


SHAPES: dict[str, tuple[dict[str, Any], Draft]] = {
    "ChartQA": (
        {"image": IMAGE, "query": "How high?", "label": ["14"], "human_or_machine": 0},
        Draft("How high?", (IMAGE,), {"answer": "14"}),
    ),
    "DocVQA": (
        {"questionId": "7", "question": "Who?", "image": IMAGE, "docId": 3, "answers": ["ITC", "itc ltd"]},
        Draft("Who?", (IMAGE,), {"answer": '["ITC", "itc ltd"]'}),
    ),
    "LLaVA": (
        {
            "id": "1",
            "image": "a/1.jpg",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat is it?"},
                {"from": "gpt", "value": "A bus."},
                {"from": "human", "value": "Its colour?"},
                {"from": "gpt", "value": "Red."},
            ],
        },
        Draft("What is it?", ("a/1.jpg",), {"answer": "A bus."}),
    ),
    "LLaVA, two images": (
        {"image": ["1.png", "2.png"], "conversations": [{"from": "human", "value": "<image><image>Same?"}]},
        Draft("Same?", ("1.png", "2.png"), {}),
    ),
    "OpenAI, text alone": (
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]},
        Draft("Be brief.\n\n2 + 2?", (), {}),
    ),
    "OpenAI, image parts": (
        {
            "messages": [
                user({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, part("What?")),
                {"role": "assistant", "content": [part("A dot.")]},
            ]
        },
        Draft("What?", ("data:image/png;base64,AAAA",), {"answer": "A dot."}),
    ),
    "OpenAI, input parts": (
        {"messages": [user({"type": "input_image", "image_url": "1.png"}, {"type": "input_text", "text": "What?"})]},
        Draft("What?", ("1.png",), {}),
    ),
    "TRL, places for the images of a column": (
        {"prompt": [user({"type": "image", "text": None}, part("Or?"), {"type": "image"})], "images": [IMAGE, OTHER]},
        Draft("Or?", (IMAGE, OTHER), {}),
    ),
    "a column of prompts": ({"prompt": "Hello?", "answer": 3}, Draft("Hello?", (), {"answer": "3"})),
    "ours": (
        {"question": "Max?", "images": ["1.png"], "skill": "compare", "attributes": {"domain": "x", "scene": "{}"}},
        Draft("Max?", ("1.png",), {"domain": "x", "skill": "compare"}),
    ),
    "attributes as text": ({"question": "Max?", "attributes": '{"a": "b"}'}, Draft("Max?", (), {"a": "b"})),
    "nulls of a table": (
        {"question": "Max?", "image": IMAGE, "images": None, "skill": None, "answer": None, "attributes": {"a": None}},
        Draft("Max?", (IMAGE,), {}),
    ),
    "an answer of a shape that is no text": ({"question": "Max?", "answers": {"text": ["1"]}}, Draft("Max?", (), {})),
    "hostile text": (
        {"question": "<script>x</script> =HYPERLINK(1)\x00\x1b[31m"},
        Draft("<script>x</script> =HYPERLINK(1)\x00\x1b[31m", (), {}),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_row_of_a_usual_shape_is_understood(name: str) -> None:
    row, draft = SHAPES[name]
    assert read_row(row, Columns()) == draft


def test_named_columns_go_before_guesses() -> None:
    row = {"question": "no", "ask": "Yes?", "image": "no", "left": "1.png", "right": "2.png", "gold": [1, "x"], "by": 7}
    columns = Columns("ask", ("left", "right"), "gold", "kind", ("by", "gold"))
    assert read_row(row | {"kind": "k"}, columns) == Draft(
        "Yes?", ("1.png", "2.png"), {"skill": "k", "answer": '[1, "x"]', "by": "7", "gold": '[1, "x"]'}
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no question": ({"image": IMAGE}, "no question"),
    "null question": ({"question": None}, "empty question: `question` is null"),
    "question of another type": ({"question": 7}, "no question: `question` must be text, not int"),
    "no user turn": ({"messages": [{"role": "assistant", "content": "?"}]}, "no question: `messages` has no user turn"),
    "a turn that is none": ({"messages": ["hi"]}, "no question: a turn of `messages` is str"),
    "a turn without content": ({"messages": [{"role": "user"}]}, "content of a turn"),
    "a part that is no text": ({"messages": [user({"type": "text", "text": 1})]}, "holds no text"),
    "sound": ({"messages": [user({"type": "input_audio"})]}, "part of type 'input_audio'"),
    "fewer images than places": (
        {"messages": [user({"type": "image"}, part("a"))]},
        "places for 1 images, the row has 0",
    ),
    "null image": ({"question": "a?", "image": None}, "null image: `image` is null"),
    "a place in the text, no image": ({"question": "<image> a?"}, "null image: the question says <image>"),
    "only a place": ({"question": "<image>", "image": IMAGE}, "empty question"),
    "too long": ({"question": "x" * 2001}, "over-long question: 2001 characters"),
    "attribute of another type": ({"question": "a?", "attributes": {"a": 1}}, "bad attribute"),
    "text that is no object": ({"question": "a?", "attributes": "[1"}, "bad attribute"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_row_that_is_no_prompt_is_refused_with_its_kind_and_reason(name: str) -> None:
    row, reason = REFUSED[name]
    with pytest.raises(Refused) as caught:
        read_row(row, Columns())
    assert reason in str(caught.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "from", "content", "value", "type", "text", "image_url", "bytes"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
ROWS = st.dictionaries(
    st.sampled_from(["question", "messages", "conversations", "image", "images", "label", "skill", "attributes"]),
    ANYTHING,
)


@given(ROWS)
def test_any_row_is_a_draft_or_refused(row: dict[str, Any]) -> None:
    try:
        draft = read_row(row, Columns(attributes=("label",)))
    except Refused:
        return
    assert draft.question.strip()
    assert all(isinstance(value, str) for value in draft.attributes.values())
