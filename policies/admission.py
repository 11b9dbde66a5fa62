"""The fate of a candidate: is its question usable, is it new, does the teacher know, do the models differ?

question -> well_formed -> (duplicate and contamination tests compare normalise_question) -> Score -> admit
"""

from __future__ import annotations

import re
import unicodedata

from store.records import Fate, Score

_LAYOUT = "\n\t\r"
_ASCII_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")
_ASCII_PUNCTUATION = re.compile(r"""(?<![0-9])[!-#%-*,-/:;?@[-\]_{}]|[!-#%-*,-/:;?@[-\]_{}](?![0-9])""")
"""What `_kept` does to ASCII, twenty times as fast: pools have hundreds of thousands of questions."""
MAX_CHARS = 2000
"""Longer questions are refused, unless a limit is given."""


def admit(score: Score, *, min_consistency: float, contradiction: str | None = None) -> tuple[Fate, str]:
    """The fate of a scored candidate, and the numbers behind it.

    An inconsistent teacher is named before a zero Δ: training on such prompts hurts, whatever their Δ (arXiv
    2605.15532, which rejects below 0.5). So does a consistent one that misses an answer that is known otherwise:
    `contradiction` tells it in words, None where there is none.
    """
    if score.consistency < min_consistency:
        return Fate.INCONSISTENT_TEACHER, f"consistency {score.consistency:.2f} < {min_consistency:.2f}"
    if contradiction is not None:
        return Fate.CONTRADICTED, contradiction
    if score.zero_delta:
        return Fate.ZERO_DELTA, f"same answers in {score.num_student} student and {score.num_teacher} teacher samples"
    return Fate.ADMITTED, f"delta {score.delta:.3f}, consistency {score.consistency:.2f}"


def well_formed(question: str, *, max_chars: int = MAX_CHARS, controls: bool = False) -> str | None:
    """Why a question cannot be used, or None if it can: the kind of fault and, after a colon, its detail.

    `controls` lets control characters pass: a user's own text is taken as it is, a model's with such is garbage.
    """
    if len(question) > max_chars:
        return f"over-long question: {len(question)} characters, more than {max_chars}"
    if question.isprintable() and not question.isspace() and question:  # the common case, many times as fast
        return None
    for position, character in enumerate(question):
        category = unicodedata.category(character)
        if category == "Cs":
            return f"undecodable question: lone surrogate U+{ord(character):04X} at position {position}"
        if category == "Cc" and character not in _LAYOUT and not controls:
            return f"undecodable question: control character U+{ord(character):04X} at position {position}"
    if not any(character.isprintable() and not character.isspace() for character in question):
        return "empty question"
    return None


def normalise_question(text: str) -> str:
    """What two spellings of one question have in common: case, width, spacing and punctuation dropped.

    Punctuation between two digits stays (1.5 is not 15), and so do symbols (3 > 2 is not 3 < 2). Idempotent.
    """
    folded = text
    while True:
        before = folded
        if folded.isascii():
            folded = _ASCII_UNSEEN.sub("", _ASCII_PUNCTUATION.sub(" ", folded.lower()))
        else:
            folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold())
            folded = "".join(map(_kept, " " + folded, folded, folded[1:] + " "))
        folded = " ".join(folded.split())
        if folded == before:
            return folded


def _kept(before: str, character: str, after: str) -> str:
    """The character, or a space if it is punctuation that is not inside a number; nothing if it cannot be seen."""
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Cs"):
        return " " if character.isspace() else ""
    inside = before.isdecimal() and after.isdecimal()
    return " " if category.startswith("P") and not inside else character
