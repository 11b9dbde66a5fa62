"""Extraction: the part of a response that is its final answer.

    response -> without thinking -> the pattern's last match -> one line without final punctuation -> answer or None

A pattern is a name out of `PATTERNS` or a regular expression with a group. Time is linear in the length of the text for
the named ones, and for expressions whose own matching is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from policies.answer_forms.text import SENTENCE_END

THINKING_TAGS = ("think", "thinking")
"""Tags around reasoning that is no part of the answer."""

_MAX_NESTED = 64

_LABEL = re.compile(r"\banswer[\s*_]*+[::][\s*_]*+", re.IGNORECASE)
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*+\{|\\.|[{}]", re.DOTALL)
_TAG = re.compile(r"<(/?)answer\s*+>", re.IGNORECASE)
_BOX_TOKEN = re.compile(r"<\|(begin|end)_of_box\|>")


def extract(text: str, pattern: str | Sequence[str], thinking_tags: Sequence[str] = THINKING_TAGS) -> str | None:
    """The final answer in a response, or None; of several patterns, the first that finds one.

    ValueError for a pattern that is neither a name nor an expression with a group.
    """
    visible = without_thinking(text, thinking_tags)
    for one in (pattern,) if isinstance(pattern, str) else pattern:
        found = PATTERNS[one](visible) if one in PATTERNS else _by_expression(visible, one)
        answer = _one_line(found) if found is not None else None
        if answer is not None:
            return answer
    return None


def without_thinking(text: str, tags: Sequence[str] = THINKING_TAGS) -> str:
    """The text outside of thinking blocks.

    A block that is never closed reaches to the end. A closing tag without an opening one ends a block that began with
    the text: chat templates put the opening tag into the prompt.
    """
    if not tags or "<" not in text:
        return text
    names = "|".join(map(re.escape, tags))
    kept: list[str] = []
    depth, start = 0, 0
    for tag in re.finditer(rf"<(/?)(?:{names})>", text, re.IGNORECASE):
        if not tag[1]:
            if depth == 0:
                kept.append(text[start : tag.start()])
            depth += 1
        else:
            if depth == 0:
                kept.clear()
            depth = max(0, depth - 1)
            start = tag.end()
    if depth == 0:
        kept.append(text[start:])
    return "".join(kept)


def _after_label(text: str) -> str | None:
    """What follows the last `Answer:` that something follows."""
    last = None
    for label in _LABEL.finditer(text):
        last = label if label.end() < len(text) else last
    return text[last.end() :] if last else None


def _boxed(text: str) -> str | None:
    """What is in the last `\\boxed{}`, on one line. Braces nest, and one stack sees all of them."""
    best: tuple[int, int] | None = None
    open_braces: list[int | None] = []
    for token in _BRACES.finditer(text):
        if token[0].endswith("{") and token[0] != "\\{":
            open_braces.append(token.end() if token[0] != "{" else None)
        elif token[0] == "}" and open_braces:
            start = open_braces.pop()
            if start is not None and (best is None or start > best[0]) and text[start : token.start()].strip():
                best = start, token.start()
    return " ".join(text[best[0] : best[1]].split()) if best else None


def _tagged(text: str) -> str | None:
    """What is in the last `<answer>`; the closing tag may be missing, as it is where it was the stop word."""
    return _last_block(text, ((tag.start(), tag.end(), not tag[1]) for tag in _TAG.finditer(text)))


def _box_tokens(text: str) -> str | None:
    """What is between GLM's last `<|begin_of_box|>` and `<|end_of_box|>`."""
    return _last_block(text, ((tag.start(), tag.end(), tag[1] == "begin") for tag in _BOX_TOKEN.finditer(text)))


def _last_block(text: str, tags: Iterator[tuple[int, int, bool]]) -> str | None:
    last, start = None, None
    for before, after, opens in tags:
        if opens:
            start = after
        elif start is not None:
            last, start = text[start:before], None
    return text[start:] if start is not None else last


def _last_line(text: str) -> str | None:
    stripped = text.rstrip()
    return stripped.splitlines()[-1] if stripped else None


PATTERNS: dict[str, Callable[[str], str | None]] = {
    "answer": _after_label,
    "boxed": _boxed,
    "answer_tag": _tagged,
    "box_tokens": _box_tokens,
    "last_line": _last_line,
}
"""The named patterns."""


def _by_expression(text: str, pattern: str) -> str | None:
    """The first group of the last match; one that lies inside the group of another is the later one."""
    compiled = re.compile(pattern)
    if not compiled.groups:
        raise ValueError(
            f"answer pattern {pattern!r} is none of {', '.join(PATTERNS)} and has no group; "
            "put the answer part into parentheses"
        )
    last = None
    for last in compiled.finditer(text):  # noqa: B007
        pass
    if last is None or last.group(1) is None:
        return None
    for _ in range(_MAX_NESTED):
        inner = compiled.search(text, last.start(1), last.end(1))
        if inner is None or inner.start(1) <= last.start(1):
            break
        last = inner
    return last.group(1)


def _one_line(found: str) -> str | None:
    lines = found.strip().splitlines()
    answer = lines[0].rstrip(SENTENCE_END + " \t\u00a0") if lines else ""
    return answer.strip() or None
