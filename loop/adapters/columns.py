"""Which column means what: rows of any usual shape become drafts of prompts.

    ChartQA   {"image", "query", "label"}            DocVQA  {"image", "question", "answers"}
    LLaVA     {"image", "conversations": [{"from": "human", "value"}, ...]}
    OpenAI    {"messages": [{"role": "user", "content": str | [{"type": "text"}, {"type": "image_url"}]}, ...]}
    ours      {"question", "images", "skill", "attributes"}

A column that the user names is taken as said; the others are guessed by name. Of a conversation the first user turn is
the question, with a system message before it; the assistant's first turn is the reference answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loop.adapters.jsonl import Refused
from loop.intake import Columns
from policies.admission import well_formed

QUESTIONS = ("question", "query", "prompt", "messages", "conversations", "conversation", "instruction", "problem")
IMAGES = ("images", "image", "file_names", "file_name", "image_file_name")
ANSWERS = ("answers", "answer", "label", "labels")
WORLD_ATTRIBUTES = frozenset({"scene"})
"""What only the embedded world may say of a prompt: its synthesizer trusts these."""

PLACEHOLDER = "<image>"
"""Where LLaVA and its kin show the model a picture; the chat template puts the pictures in here."""

_USERS = frozenset({"user", "human"})
_ASSISTANTS = frozenset({"assistant", "gpt", "model"})
_HOLE = object()
"""A place of a conversation where the next picture of the image column belongs."""


@dataclass(frozen=True)
class Draft:
    """A prompt in the making: its image cells are not opened yet."""

    question: str
    cells: tuple[Any, ...]
    attributes: dict[str, str]


@dataclass(frozen=True)
class _Turn:
    """The part of a conversation that makes a prompt."""

    question: str
    cells: tuple[Any, ...] = ()
    """Pictures inside it, or `_HOLE`s."""
    answer: str | None = None


def find_question(row: Mapping[str, Any], columns: Columns) -> str | None:
    """The column that holds a row's question, or None."""
    return next((name for name in ((columns.question,) if columns.question else QUESTIONS) if name in row), None)


def read_row(row: Mapping[str, Any], columns: Columns) -> Draft:
    """The draft of a row. `Refused`, with the reason, if it is no prompt."""
    turn = _turn(row, columns)
    cells = _cells(row, columns, turn)
    question = turn.question
    if PLACEHOLDER in question:
        if not cells:
            raise Refused(f"null image: the question says {PLACEHOLDER}, but the row has no image")
        question = "\n".join(line.strip() for line in question.replace(PLACEHOLDER, "\n").splitlines()).strip()
    fault = well_formed(question, controls=True, max_chars=columns.max_chars)
    if fault is not None:
        raise Refused(fault)
    return Draft(question, cells, _attributes(row, columns, turn))


def shown(row: Mapping[str, Any] | Refused) -> str:
    """What can be shown of a row's question, whatever it is."""
    if isinstance(row, Refused):
        return ""
    try:
        text = _turn(row, Columns()).question
    except Refused:
        return ""
    return text[:200].encode("utf-8", "replace").decode("utf-8")


def _turn(row: Mapping[str, Any], columns: Columns) -> _Turn:
    name = find_question(row, columns)
    if name is None:
        raise Refused("no question: `question` must be text, not NoneType")
    value = row[name]
    if isinstance(value, str):
        return _Turn(value)
    if value is None and name in row:
        raise Refused(f"empty question: `{name}` is null")
    if isinstance(value, list):
        return _conversation(name, value)
    raise Refused(f"no question: `{name}` must be text, not {type(value).__name__}")


def _conversation(name: str, turns: Sequence[Any]) -> _Turn:
    system: list[str] = []
    question: tuple[str, tuple[Any, ...]] | None = None
    for turn in turns:
        if not isinstance(turn, dict):
            raise Refused(f"no question: a turn of `{name}` is {type(turn).__name__}, not an object")
        role = turn.get("role", turn.get("from"))
        content = turn.get("content", turn.get("value"))
        if question is None and role in ("system", "developer"):
            system.append(_content(name, content)[0])
        elif question is None and role in _USERS:
            question = _content(name, content)
        elif question is not None and role in _ASSISTANTS:
            return _Turn("\n\n".join([*system, question[0]]), question[1], _content(name, content)[0])
        elif question is not None:
            break
    if question is None:
        raise Refused(f"no question: `{name}` has no user turn")
    return _Turn("\n\n".join([*system, question[0]]), question[1])


def _content(name: str, content: Any) -> tuple[str, tuple[Any, ...]]:
    """Text and pictures of a turn."""
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list):
        raise Refused(f"no question: the content of a turn of `{name}` is {type(content).__name__}")
    texts, cells = [], []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "input_text", "output_text"):
            if not isinstance(part.get("text"), str):
                raise Refused(f"no question: a text part of `{name}` holds no text")
            texts.append(part["text"])
        elif kind in ("image", "image_url", "input_image"):
            cells.append(_picture(part))
        else:
            raise Refused(f"no question: `{name}` has a part of type {kind!r}; text and images are understood")
    return "\n".join(texts), tuple(cells)


def _picture(part: Mapping[str, Any]) -> Any:
    """The image cell of a part; tables fill in keys that a part does not have with null."""
    for key in ("image_url", "image", "url", "path"):
        value = part.get(key)
        if isinstance(value, dict) and "url" in value:
            value = value["url"]
        if value is not None:
            return value
    return _HOLE


def _cells(row: Mapping[str, Any], columns: Columns, turn: _Turn) -> tuple[Any, ...]:
    column = list(_column_cells(row, columns, needed=not turn.cells or _HOLE in turn.cells))
    holes = sum(cell is _HOLE for cell in turn.cells)
    if turn.cells and holes != len(column):
        raise Refused(f"null image: the conversation has places for {holes} images, the row has {len(column)}")
    rest = iter(column)
    return tuple(next(rest) if cell is _HOLE else cell for cell in turn.cells) or tuple(column)


def _column_cells(row: Mapping[str, Any], columns: Columns, *, needed: bool) -> Iterator[Any]:
    names = columns.images or tuple(_guessed(row, IMAGES))
    for name in names if needed else ():
        value = row.get(name)
        if value is None:
            raise Refused(f"null image: `{name}` is null")
        yield from value if isinstance(value, list) else [value]


def _guessed(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The first of these columns that holds something, else the first that there is."""
    there = [name for name in names if name in row]
    return [name for name in there if row[name] is not None][:1] or there[:1]


def _attributes(row: Mapping[str, Any], columns: Columns, turn: _Turn) -> dict[str, str]:
    kept = {key: value for key, value in _given(row).items() if key not in WORLD_ATTRIBUTES}
    skill = row.get(columns.skill or "skill")
    if skill is not None:
        kept["skill"] = skill
    answer = _answer(row, columns, turn)
    if answer is not None:
        kept["answer"] = answer
    for name in columns.attributes:
        if row.get(name) is not None:
            value = _as_text(row[name])
            kept[name] = json.dumps(row[name], ensure_ascii=False, default=str) if value is None else value
    for key, value in kept.items():
        if not isinstance(value, str):
            raise Refused(f"bad attribute: `{key}` must be text, not {type(value).__name__}")
        _check_text(key, key)
        _check_text(key, value)
    return kept


def _answer(row: Mapping[str, Any], columns: Columns, turn: _Turn) -> str | None:
    """The reference answer, where there is one that is text; a guessed column may hold anything else."""
    if columns.answer is None and turn.answer is not None:
        return turn.answer
    for name in (columns.answer,) if columns.answer else _guessed(row, ANSWERS):
        text = _as_text(row.get(name))
        if text is None and row.get(name) is not None and columns.answer:
            raise Refused(f"bad attribute: `{name}` must be text, a number or a list of these")
        return text
    return None


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    """The column `attributes`: an object, or the text of one; null values are those of other rows of a table."""
    value = row.get("attributes")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = ""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str | None) for item in value.values()):
        raise Refused("bad attribute: `attributes` must be an object of texts")
    return {key: item for key, item in value.items() if item is not None}


def _as_text(value: Any) -> str | None:
    """A text or a number as it is, several as a JSON list, none of these as None."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, list) or not value or not all(isinstance(item, str | int | float) for item in value):
        return None
    return _as_text(value[0]) if len(value) == 1 else json.dumps(value, ensure_ascii=False)


def _check_text(name: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused(f"bad attribute: {name!a} is not valid Unicode: {error.reason} at {error.start}") from None
