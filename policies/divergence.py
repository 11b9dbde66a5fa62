"""Answer divergence Δ: how differently two models answer a prompt, from a few samples of each.

    rollouts -> answer classes -> aligned counts -> Δ with an interval, zero-delta, consistency -> Score

Δ is the reverse KL divergence, student first, between the empirical distributions of final answers (arXiv 2605.15532),
in nats. A response without an answer, or one that was cut off, is an answer class of its own: a student that rambles
where the teacher answers does differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from policies.skew import bias_and_error, skew_kl
from store.records import Rollout, RolloutStatus, Score

UNANSWERED = "\x00"
"""First character of the classes that are no answers: canonical forms hold no control characters."""

LEVEL = 0.9
"""Level of the interval that a score carries."""

Counts = NDArray[np.int64]


def answer_class(rollout: Rollout) -> str:
    """The class that a rollout's answer belongs to."""
    if rollout.status is RolloutStatus.ANSWERED and rollout.canonical is not None:
        return rollout.canonical
    return UNANSWERED + rollout.status


def answer_counts(student: Sequence[str], teacher: Sequence[str]) -> tuple[Counts, Counts]:
    """How often each side gave each class, aligned over the sorted union of classes."""
    tried, taught = Counter(student), Counter(teacher)
    classes = sorted(tried.keys() | taught.keys())
    return (
        np.array([tried[name] for name in classes], dtype=np.int64),
        np.array([taught[name] for name in classes], dtype=np.int64),
    )


def is_zero_delta(student_counts: Counts, teacher_counts: Counts) -> bool:
    """Whether both empirical distributions are the same, exactly, for unequal sample counts too."""
    num_student, num_teacher = int(student_counts.sum()), int(teacher_counts.sum())
    pairs = zip(student_counts.tolist(), teacher_counts.tolist(), strict=True)
    return all(tried * num_teacher == taught * num_student for tried, taught in pairs)


def reverse_kl(student_counts: Counts, teacher_counts: Counts, *, smoothing: float) -> float:
    """Δ = KL(p, (1 - s) q + s p) in nats, p the student's and q the teacher's distribution, s the smoothing in (0, 1).

    The plain KL(p, q) is infinite as soon as the student gives one answer that the teacher did not. Mixing a share s
    of p into q (the skew divergence: Lee 1999) keeps it finite: 0 if and only if p = q, log(1 / s) if they share none.
    ValueError if one side has no samples.
    """
    p, q = _shares(student_counts, "student"), _shares(teacher_counts, "teacher")
    if is_zero_delta(student_counts, teacher_counts):
        return 0.0
    return skew_kl(p, q, smoothing)


def interval(
    student_counts: Counts, teacher_counts: Counts, *, smoothing: float, level: float = LEVEL
) -> tuple[float, float]:
    """An approximate two-sided interval for Δ, in closed form; it holds the estimate, and always has a width.

    It is the union of two. First the delta method on both multinomials: estimate ± z · standard error from the first
    derivatives of Δ by p and q, its lower end moved down by the plug-in bias that the second ones give. That alone is
    degenerate where all samples of a side agree; hence what they cannot rule out: a share up to
    1 - ((1 - level) / 2)^(1 / n) of a side's answers may lie where none was seen (the Clopper-Pearson bound for an
    event that n samples did not show). At the upper end that share goes to an answer that nobody gave, at the lower
    end to what the other side answers.

    Not calibrated. Simulated at level 0.9 with 8 samples a side, and p, q from a symmetric Dirichlet over six answers,
    it holds the true Δ in 97 % of cases at concentration 0.1 (peaked, like models that know), 89 % at 0.5 and 70 % at
    2 (nearly flat): the misses are true values below the lower end, since plug-in Δ is biased upwards where many
    classes meet few samples. With 16 samples: 96, 89 and 85 %.
    """
    p, q = _shares(student_counts, "student"), _shares(teacher_counts, "teacher")
    num_student, num_teacher = int(student_counts.sum()), int(teacher_counts.sum())
    delta = reverse_kl(student_counts, teacher_counts, smoothing=smoothing)
    bias, error = bias_and_error(p, q, num_student, num_teacher, smoothing)
    margin = NormalDist().inv_cdf((1 + level) / 2) * error

    hidden_p, hidden_q = (1 - ((1 - level) / 2) ** (1 / num) for num in (num_student, num_teacher))
    p0, q0 = np.append(p, 0.0), np.append(q, 0.0)
    elsewhere = np.append(np.zeros(len(p)), 1.0)
    floor = min(
        skew_kl((1 - hidden_p) * p + hidden_p * q, q, smoothing),
        skew_kl(p, (1 - hidden_q) * q + hidden_q * p, smoothing),
    )
    ceiling = max(
        skew_kl((1 - hidden_p) * p0 + hidden_p * elsewhere, q0, smoothing),
        skew_kl(p0, (1 - hidden_q) * q0 + hidden_q * elsewhere, smoothing),
    )
    low = max(0.0, min(delta - bias - margin, floor))
    high = min(math.log(1 / smoothing), max(delta + margin, ceiling))
    return low, high


def majority(classes: Sequence[str]) -> str:
    """The most frequent answer, of equals the lexicographically smallest; no answer only where there is none."""
    counts = Counter(classes)
    answers = [name for name in counts if not name.startswith(UNANSWERED)]
    return min(answers or counts, key=lambda name: (-counts[name], name))


def consistency(classes: Sequence[str]) -> float:
    """Mean agreement of samples with their majority answer, in [0, 1]: the paper's avg@n. No answer never agrees."""
    return _agreement(classes, majority(classes))


def score(
    prompt_id: str,
    student: str,
    teacher: str,
    student_classes: Sequence[str],
    teacher_classes: Sequence[str],
    *,
    smoothing: float,
) -> Score:
    """Everything that two versions' answer classes on one prompt say. ValueError if one side has no samples."""
    counts = answer_counts(student_classes, teacher_classes)
    delta = reverse_kl(*counts, smoothing=smoothing)
    low, high = interval(*counts, smoothing=smoothing, level=LEVEL)
    return Score(
        prompt_id=prompt_id,
        student=student,
        teacher=teacher,
        delta=delta,
        low=low,
        high=high,
        num_student=len(student_classes),
        num_teacher=len(teacher_classes),
        estimator="reverse_kl",
        settings={"smoothing": smoothing, "level": LEVEL},
        zero_delta=is_zero_delta(*counts),
        consistency=consistency(teacher_classes),
        student_agreement=_agreement(student_classes, majority(teacher_classes)),
    )


def _agreement(classes: Sequence[str], answer: str) -> float:
    return 0.0 if answer.startswith(UNANSWERED) else sum(name == answer for name in classes) / len(classes)


def _shares(counts: Counts, side: str) -> NDArray[np.float64]:
    total = counts.sum()
    if total <= 0:
        raise ValueError(f"the {side} has no samples on this prompt; sample it before scoring")
    shares: NDArray[np.float64] = counts / total
    return shares
