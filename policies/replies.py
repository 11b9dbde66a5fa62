"""Replies of a generator: the JSON object in a text that should be nothing else, and names made comparable.

    text -> without thinking -> the whole, or its first object -> strict JSON (no NaN, bounded numbers and depth)

An engine that enforces a schema gives a clean object; others put it between fences, or talk before and after it.
"""

from __future__ import annotations

import json
import math
from typing import Any

from policies.admission import well_formed
from policies.extraction import without_thinking

MAX_CHARS = 200_000
MAX_STARTS = 50
"""Opening braces that are tried: each costs time in the length of the text."""
MAX_DEPTH = 12
MAX_NAME_CHARS = 80


def read_object(text: str) -> dict[str, Any]:
    """The first JSON object in a reply, outside of its thinking.

    ValueError, with the reason, if there is none, if it is not strict JSON, or if the text is longer than `MAX_CHARS`.
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"the reply has {len(text)} characters, more than {MAX_CHARS}")
    visible = without_thinking(text)
    reason = "no JSON object in the reply"
    start = visible.find("{")
    for _ in range(MAX_STARTS):
        if start < 0:
            break
        try:
            value, _ = _DECODER.raw_decode(visible, start)
            if not _is_shallow(value, MAX_DEPTH):
                raise RecursionError
            return dict(value)
        except RecursionError:
            raise ValueError(f"the JSON in the reply is nested more than {MAX_DEPTH} deep") from None
        except ValueError as error:
            reason = f"no JSON object in the reply: {error}"
        start = visible.find("{", start + 1)
    raise ValueError(reason)


def read_name(text: str) -> str:
    """A skill's name on one line, in lower case, without quotes and final punctuation; '' if it is none."""
    name = " ".join(text.split()).strip(" .,;:!\"'`").lower()
    return "" if len(name) > MAX_NAME_CHARS or well_formed(name) is not None else name


def _is_shallow(value: Any, allowed: int) -> bool:
    """Whether a JSON value nests at most so deep."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return allowed > 0 and all(_is_shallow(one, allowed - 1) for one in inner)


def _finite(text: str) -> float:
    """A number; ValueError for NaN, and for what is no float, as 1e999."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


_DECODER = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)
