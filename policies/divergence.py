"""Answer divergence Δ: how differently two models answer prompts, from a few samples of each.

    rollouts -> answer classes -> class codes -> tables -> Δ, interval, zero-delta by both rules, noise floor -> Score

Δ is the reverse KL divergence, student first, between the empirical distributions of final answers (arXiv 2605.15532),
in nats; `estimators` says what else is known of it. A response without an answer, or one that was cut off, is an answer
class of its own: a student that rambles where the teacher answers does differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from policies.estimators import estimate, self_disagreement
from policies.tables import Ints, count_tables
from policies.zero_delta import benjamini_hochberg
from store.records import Reported, Rollout, RolloutStatus, Score

UNANSWERED = "\x00"
"""First character of the classes that are no answers: canonical forms hold no control characters."""

LEVEL = 0.9
"""Level of the interval that a score carries."""

Classes = Sequence[Sequence[str]]
"""The answer classes of each prompt's samples, in order of sample index."""


def answer_class(rollout: Rollout) -> str:
    """The class that a rollout's answer belongs to."""
    if rollout.status is RolloutStatus.ANSWERED and rollout.canonical is not None:
        return rollout.canonical
    return UNANSWERED + rollout.status


def majority(classes: Sequence[str]) -> str:
    """The most frequent answer, of equals the lexicographically smallest; no answer only where there is none."""
    counts = Counter(classes)
    answers = [name for name in counts if not name.startswith(UNANSWERED)]
    return min(answers or counts, key=lambda name: (-counts[name], name))


def consistency(classes: Sequence[str]) -> float:
    """Mean agreement of samples with their majority answer, in [0, 1]: the paper's avg@n. No answer never agrees."""
    return agreement(classes, majority(classes))


def agreement(classes: Sequence[str], answer: str) -> float:
    """Share of samples that give this answer, in [0, 1]; 0 where it is none."""
    return 0.0 if answer.startswith(UNANSWERED) else sum(name == answer for name in classes) / len(classes)


def score_all(
    ids: Sequence[str],
    versions: tuple[str, str],
    student: Classes,
    teacher: Classes,
    *,
    smoothing: float,
    false_share: float,
) -> tuple[Score, ...]:
    """The scores of prompts `ids` for the (student, teacher) versions.

    Whether a prompt differs is decided over all of them together: the mean share of false ones among the declared is at
    most `false_share`. ValueError if one side has no samples on a prompt.
    """
    if not ids:
        return ()
    codes = class_codes(student, teacher)
    tables = count_tables(*codes)
    found = estimate(tables, smoothing=smoothing, level=LEVEL).by_prompt(tables)
    differs = benjamini_hochberg(found.p_value, false_share)
    floor, known = self_disagreement(codes[1], smoothing)
    kl = found.reverse_kl
    return tuple(
        Score(
            id,
            *versions,
            delta=float(kl.value[row]),
            low=float(kl.low[row]),
            high=float(kl.high[row]),
            num_student=len(student[row]),
            num_teacher=len(teacher[row]),
            estimator="reverse_kl",
            settings={"smoothing": smoothing, "level": LEVEL, "false_share": false_share},
            zero_delta=bool(found.plug_in_zero[row]),
            consistency=consistency(teacher[row]),
            student_agreement=agreement(student[row], majority(teacher[row])),
            p_value=float(found.p_value[row]),
            differs=bool(differs[row]),
            noise_floor=float(floor[row]) if known[row] else None,
        )
        for row, id in enumerate(ids)
    )


def predicted_score(id: str, versions: tuple[str, str], teacher: Sequence[str], delta: float) -> Score:
    """The score of a prompt that the student was not sampled on; its agreement with the teacher is not known either."""
    own = consistency(teacher)
    return Score(
        id,
        *versions,
        delta=delta,
        low=delta,
        high=delta,
        num_student=0,
        num_teacher=len(teacher),
        estimator="predicted",
        settings={},
        zero_delta=delta == 0.0,
        consistency=own,
        student_agreement=own,
        predicted=True,
    )


def reported(student: Classes, teacher: Classes, *, smoothing: float) -> Reported:
    """What reporting samples say of a set of prompts: equally many of each side and prompt, at least two.

    The interval is the normal one of a mean over prompts, at `LEVEL`: it tells how far another set drawn alike, with
    other samples, may be. ValueError without prompts.
    """
    tables = count_tables(*class_codes(student, teacher))
    found = estimate(tables, smoothing=smoothing, level=LEVEL).by_prompt(tables)
    values = found.reverse_kl.value
    margin = NormalDist().inv_cdf((1 + LEVEL) / 2) * float(values.std(ddof=min(1, len(values) - 1)))
    margin /= math.sqrt(len(values))
    mean = float(values.mean())
    return Reported(
        prompts=len(values),
        samples=len(student[0]),
        delta=mean,
        low=max(0.0, mean - margin),
        high=mean + margin,
        squared_distance=float(found.squared_distance.value.mean()),
    )


def class_codes(*sides: Classes) -> tuple[Ints, ...]:
    """Of each side: classes as numbers [prompts, samples], equal within a prompt where classes are; -1: no sample."""
    codes = tuple(np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64) for rows in sides)
    for row, prompt in enumerate(zip(*sides, strict=True)):
        numbers: dict[str, int] = {}
        for side, own in zip(codes, prompt, strict=True):
            side[row, : len(own)] = [numbers.setdefault(name, len(numbers)) for name in own]
    return codes


def aligned_counts(student: Classes, teacher: Classes) -> tuple[Ints, Ints]:
    """How often each side gave each class of a prompt, [prompts, k] twice; the teacher's commonest class first."""
    rows = []
    for tried, taught in zip(student, teacher, strict=True):
        names = [name for name, _ in Counter(taught).most_common()]
        names += [name for name in dict.fromkeys(tried) if name not in set(names)]
        rows.append((names, Counter(tried), Counter(taught)))
    width = max((len(names) for names, _, _ in rows), default=0)
    sides: list[NDArray[np.int64]] = [np.zeros((len(rows), width), dtype=np.int64) for _ in range(2)]
    for row, (names, *counts) in enumerate(rows):
        for side, own in zip(sides, counts, strict=True):
            side[row, : len(names)] = [own[name] for name in names]
    return sides[0], sides[1]
