"""Multiple choice: the letter of an option, its text, or both, as the letter.

Options are given as their texts in order; the first 26 have the letters a, b, c, ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from string import ascii_lowercase

_LETTER = re.compile(
    r"(?:the )?(?:(?:correct )?(?:answer|option|choice)(?: is)?:? )?[(\[]?(?P<letter>[a-z])(?:[)\].:](?P<rest>.*))?",
    re.DOTALL,
)
_OPTION_LINE = re.compile(r"^[ \t]*+[(\[]?([A-Z])[)\].:][ \t]++(\S.*)$", re.MULTILINE)


def choice_form(text: str, options: Sequence[str], form: Callable[[str], str]) -> str | None:
    """The option that a folded answer names, else None.

    A bare letter comes before a text that is the same letter, and the letter before the text that follows it: what a
    grader of multiple choice reads.
    """
    named = _LETTER.fullmatch(text)
    if named and not (named["rest"] or "").strip(" )].") and named["letter"] in ascii_lowercase[: len(options)]:
        return named["letter"]
    given = form(text)
    for index, option in enumerate(options):
        if form(option) == given:
            return ascii_lowercase[index] if index < len(ascii_lowercase) else given
    if named and named["letter"] in ascii_lowercase[: len(options)]:
        return named["letter"]
    letter, _, rest = text.partition(" ")
    index = ascii_lowercase.find(letter) if len(letter) == 1 else -1
    if 0 <= index < len(options) and form(rest) == form(options[index]):
        return letter
    return None


def options_in(question: str) -> tuple[str, ...]:
    """The options that a question lists, one a line as `A. red`, from A on without a gap; () if there are not two."""
    found = _OPTION_LINE.findall(question)
    letters = "".join(letter.lower() for letter, _ in found)
    if len(found) < 2 or letters != ascii_lowercase[: len(letters)]:
        return ()
    return tuple(text.strip() for _, text in found)
