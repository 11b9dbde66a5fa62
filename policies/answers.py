"""The answer module: what the final answer of a response is, and when two answers are the same.

    response text -> extract -> answer -> canonical form -> class

Two answers are the same if their canonical forms are equal. The canonical form looks at nothing but the answer itself,
hence "the same" is reflexive, symmetric and transitive by construction, and no order of answers can matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

SENTENCE_END = ".,;:!?…"
"""Punctuation that ends a sentence around an answer, and is not part of it."""

CURRENCY = "$€£¥₹₩₽₺₫₴₦₱₿"
"""Signs that say in which money, not how much. The cent sign is not one of them: 5¢ is not 5 $."""

AROUND = SENTENCE_END + CURRENCY + "'\"“”‘’‚„«»‹›()[]{}<>*_`~|。、"
"""Characters that mean nothing at either end of an answer: quotes, brackets, markup."""

_EDGE = f"[{re.escape(AROUND)} ]"
_LEADING = re.compile(
    # Possessive throughout, so that no input makes it backtrack. A point before a digit begins a decimal. An article is
    # dropped only before a word of at least two characters: a bare "a" or "a b" names options, not articles.
    rf"(?:\.{{2,}}+|\.(?![0-9])|(?!\.){_EDGE}|(?:an?|the)\ (?={_EDGE}*+\w\w))*+"
)
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)[{CURRENCY}]? ?(?P<whole>[0-9]{{1,3}}(?:,[0-9]{{3}})++|[0-9]*+)"
    r"(?:\.(?P<part>[0-9]++))? ?(?P<percent>%?)"
)
_GROUP_SPACE = re.compile("(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
"""A no-break or thin space before three digits separates thousands; an ordinary one may separate two answers."""

_PLAIN_SIGNS = str.maketrans("‐‑‒–—―−⁄", "-------/")
"""Hyphens, dashes and the minus sign, and the slash inside of a folded `½`."""

_UNSEEN = ("Cc", "Cf", "Cs")
_MAX_NESTED = 64


def extract(text: str, pattern: str) -> str | None:
    """The final answer in a response: the first group of the pattern's last match, its first line, or None.

    Surrounding blanks and the punctuation that ends a sentence are dropped; nothing left counts as absent. A match that
    lies inside the group of another ("Answer: 3, no, Answer: 4") is the later one. Time is linear in the length of
    the text, for patterns whose own matching is. ValueError if the pattern has no group.
    """
    compiled = re.compile(pattern)
    if not compiled.groups:
        raise ValueError(f"answer pattern {pattern!r} has no group; put the answer part into parentheses")
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
    lines = last.group(1).strip().splitlines()
    answer = lines[0].rstrip(SENTENCE_END + " \t\u00a0") if lines else ""
    return answer.strip() or None


def canonical(answer: str) -> str:
    """The one form of all answers that are the same: case, spacing, width, articles, quotes and money signs dropped.

    A number loses its thousands separators, leading and trailing zeros and plus sign (`$1,200.50` -> `1200.5`); a
    percent sign stays (`12 %` -> `12%`, which is not `12`). Control characters never survive. An answer of nothing but
    such trimmings is kept as it is. Idempotent.
    """
    text = _folded(answer)
    trimmed = _LEADING.sub("", text.rstrip(AROUND + " "), count=1) if text else text
    if not trimmed:
        return text
    number = _NUMBER.fullmatch(trimmed)
    if number is None or not (number["whole"] or number["part"]):
        return trimmed
    return _number(number)


def partition(answers: Sequence[str | None]) -> list[int]:
    """The class of each answer, numbered in order of first appearance; None (no answer) is a class of its own."""
    numbers: dict[str | None, int] = {}
    return [numbers.setdefault(None if answer is None else canonical(answer), len(numbers)) for answer in answers]


def _folded(answer: str) -> str:
    """Case, width and spacing folded, to the fixed point that one pass of NFKC and casefold may miss."""
    text = _GROUP_SPACE.sub("", answer)
    while True:
        folded = " ".join(text.split())
        if not folded.isprintable():
            folded = "".join(c for c in folded if unicodedata.category(c) not in _UNSEEN)
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
        folded = folded.translate(_PLAIN_SIGNS)
        folded = " ".join(folded.split())
        if folded == text:
            return text
        text = folded


def _number(number: re.Match[str]) -> str:
    """Text arithmetic only: exact, and linear however many digits there are."""
    whole = number["whole"].replace(",", "").lstrip("0") or "0"
    part = (number["part"] or "").rstrip("0")
    value = f"{whole}.{part}" if part else whole
    sign = "-" if number["sign"] == "-" and value != "0" else ""
    return f"{sign}{value}{number['percent']}"
