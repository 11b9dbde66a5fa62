"""The answer module: what the final answer of a response is, and when two answers are the same.

    response text -> extract -> answer -> canonical form -> class

Two answers are the same if their canonical forms are equal. The form looks at nothing but the answer itself (and at the
options of a multiple-choice question), hence "the same" is reflexive, symmetric and transitive by construction, and no
order of answers can matter. A form is found by the first tier that knows the answer: option, number, comparison, date,
range, quantity, list, yes or no, ordinal, formula, text; each lives in `policies.answer_forms`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from policies import extraction
from policies.answer_forms.choices import choice_form, options_in
from policies.answer_forms.dates import date_form
from policies.answer_forms.groups import list_form, list_items, range_form
from policies.answer_forms.latex import CLOSE, OPEN, assigned, formula_form, unwrap
from policies.answer_forms.numbers import Percent, comparison_form, ordinal_form, read_number, read_quantity
from policies.answer_forms.text import SENTENCE_END, fold, interval, text_form, trim, without_article
from policies.extraction import PATTERNS

__all__ = ["DEFAULT", "PATTERNS", "VERSION", "AnswerSettings", "canonical", "extract", "options_in", "partition"]

VERSION = 2
"""Rises whenever the form of any answer changes: forms of two versions must not be compared."""

_MAX_CACHED = 200
_MAX_PASSES = 6

_YES_NO = re.compile(
    r"(?:(?P<yes>yes|yeah|yep|yup|true)|no|nope|false)"
    r"(?:,? (?:it|they|he|she|there|this|that|these|those|we|you|i) "
    r"(?:is|are|was|were|am|does|do|did|has|have|had|can|could|will|would|should)(?: not|n't)?)?"
)


_PREAMBLE = re.compile(
    r"(?:(?:so|thus|therefore|hence),? )?(?:the )?(?:final |correct )?answer(?: is(?: equal to)?:?|:) (?=.)"
)


@dataclass(frozen=True)
class AnswerSettings:
    """What may be the same answer in one campaign and not in another."""

    percent: Percent = "keep"
    """`keep`: 12 % is only 12 percent; `number`: it is 12 too; `fraction`: it is 0.12."""
    ordered_lists: bool = True
    """Whether `red, blue` is another answer than `blue, red`."""
    day_first: bool = False
    """Whether 5/3/2020 is in March."""
    formulas: bool = True
    """Whether formulas are parsed (with math-verify), or compared as text."""


DEFAULT = AnswerSettings()


def extract(
    text: str, pattern: str | Sequence[str] = "answer", *, thinking_tags: Sequence[str] = extraction.THINKING_TAGS
) -> str | None:
    """The final answer in a response, outside of its thinking, or None where there is none.

    Args:
        text: The response.
        pattern: `answer` (after the last `Answer:`), `boxed`, `answer_tag`, `box_tokens`, `last_line`, or a regular
            expression: the first group of its last match. Of a sequence, the first that finds an answer counts.
        thinking_tags: Names of the tags around what is no part of the answer.

    Only the first line of what is found counts; surrounding blanks and the punctuation that ends a sentence are
    dropped, and nothing left counts as absent. ValueError if an expression has no group.
    """
    return extraction.extract(text, pattern, thinking_tags)


def canonical(answer: str, *, options: Sequence[str] | None = None, settings: AnswerSettings = DEFAULT) -> str:
    """The one form of all answers that are the same.

    Case, width, diacritics, articles, quotes and money signs drop; a number loses separators, needless zeros and plus
    sign (`$1,200.50` -> `1200.5`), and is the same in words; units and the percent sign stay. With the options of a
    multiple-choice question, an answer that names one is its letter. Control characters never survive. An answer of
    nothing but trimmings is kept as it is. Idempotent, and linear in the length of the answer.
    """
    if len(answer) > _MAX_CACHED:
        return _fixed_point(answer, tuple(options or ()), settings)
    return _cached(answer, tuple(options or ()), settings)


def partition(
    answers: Sequence[str | None], *, options: Sequence[str] | None = None, settings: AnswerSettings = DEFAULT
) -> list[int]:
    """The class of each answer, numbered in order of first appearance; None (no answer) is a class of its own."""
    numbers: dict[str | None, int] = {}
    return [
        numbers.setdefault(
            None if answer is None else canonical(answer, options=options, settings=settings), len(numbers)
        )
        for answer in answers
    ]


def _fixed_point(answer: str, options: tuple[str, ...], settings: AnswerSettings) -> str:
    """The form that is its own form, or the folded answer if none comes in a few passes: idempotent either way."""
    folded = form = fold(answer)
    for _ in range(_MAX_PASSES):
        again = _form(fold(form), options, settings)
        if again == form:
            return form
        form = again
    return folded


_cached = lru_cache(maxsize=1 << 16)(_fixed_point)


def _form(text: str, options: tuple[str, ...], settings: AnswerSettings) -> str:
    """One pass over a folded text."""
    if options:
        choice = choice_form(trim(unwrap(text)), options, lambda one: canonical(one, settings=settings))
        if choice is not None:
            return choice
    if text.startswith(OPEN) and text.endswith(CLOSE):
        return text
    shown = _PREAMBLE.sub("", unwrap(text), count=1)
    shown = assigned(shown) or shown
    bare = trim(shown)
    if not bare:
        return text
    return _whole(bare, settings) or _formula(shown, settings) or _listed(bare, settings) or _single(bare, settings)


def _whole(text: str, settings: AnswerSettings) -> str | None:
    """What must be seen before an answer is cut at its commas: numbers, dates, ranges."""
    number = read_number(text)
    if number is not None:
        return number.form(settings.percent)
    return (
        date_form(text, day_first=settings.day_first)
        or range_form(text, percent=settings.percent, day_first=settings.day_first)
        or comparison_form(text, settings.percent)
        or _quantity(text, settings)
        or _yes_no(text)
    )


def _single(text: str, settings: AnswerSettings) -> str:
    """The form of one answer that is no list."""
    bare = without_article(text)
    return _whole(text, settings) or (bare != text and _whole(bare, settings)) or ordinal_form(bare) or text_form(text)


def _quantity(text: str, settings: AnswerSettings) -> str | None:
    quantity = read_quantity(text)
    return None if quantity is None else quantity.form(settings.percent)


def _listed(text: str, settings: AnswerSettings) -> str | None:
    """Of a list its items' forms; of a half-open interval the brackets too, which keep the order."""
    brackets = interval(text)
    items = list_items(brackets[1] if brackets else text)
    if items is None:
        return None
    ordered = settings.ordered_lists or brackets is not None
    form = list_form(items, lambda item: _single(trim(item) or item, settings), ordered=ordered)
    return f"{brackets[0]}{form}{brackets[2]}" if brackets else form


def _yes_no(text: str) -> str | None:
    found = _YES_NO.fullmatch(text)
    return None if found is None else "yes" if found["yes"] else "no"


def _formula(text: str, settings: AnswerSettings) -> str | None:
    return formula_form(text.strip(SENTENCE_END + " ")) if settings.formulas else None
