"""The metrics of the held-out suites: an answer and its references -> a score in [0, 1].

Each benchmark keeps its own: relaxed accuracy for charts, ANLS for documents, exact match elsewhere. An empty answer
scores 0, and of several references the best match counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from anls_star import anls_score

from policies.answers import canonical

Metric = Callable[[str, Sequence[str]], float]

TOLERANCE = 0.05
"""Relative error that relaxed accuracy forgives (Methani et al. 2020, taken over by ChartQA)."""

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?%?")


def relaxed_accuracy(answer: str, references: Sequence[str]) -> float:
    """1 if a number is within 5 % of a reference number, or a text equals a reference's canonical form.

    A percentage is read as ChartQA reads it, as its hundredth: `12%` matches `0.12`, and not `12`. The implementation
    that is copied everywhere tests `if reference_number`, so that a reference of 0 is compared as a string and `0.0`
    fails; here 0 is a number, and only 0 is within 5 % of it.
    """
    given = canonical(answer)
    return float(bool(given) and any(_relaxed_match(given, canonical(reference)) for reference in references))


def anls(answer: str, references: Sequence[str]) -> float:
    """Normalised Levenshtein similarity to the nearest reference, 0 below the threshold of 0.5 (Biten et al. 2019)."""
    return float(anls_score(tuple(references), answer)) if answer.strip() and references else 0.0


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 if the answer's canonical form equals a reference's."""
    given = canonical(answer)
    return float(bool(given) and any(given == canonical(reference) for reference in references))


METRICS: dict[str, Metric] = {"relaxed_accuracy": relaxed_accuracy, "anls": anls, "exact_match": exact_match}


def _relaxed_match(given: str, reference: str) -> bool:
    number, target = _to_number(given), _to_number(reference)
    if number is None or target is None:
        return given == reference
    return abs(number - target) <= TOLERANCE * abs(target)


def _to_number(text: str) -> float | None:
    """The value of a canonical number, or None."""
    if not _NUMBER.fullmatch(text):
        return None
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)
