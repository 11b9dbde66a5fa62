"""Promotion: is the candidate better than the student on the held-out suites, beyond the luck of the questions?

scores per question and suite -> paired differences -> stratified bootstrap -> gain with an interval -> yes or no
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def paired_interval(
    candidate: Sequence[NDArray[np.float64]],
    student: Sequence[NDArray[np.float64]],
    *,
    level: float,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> tuple[float, float, float]:
    """(gain, low, high): the mean difference candidate - student, all suites weighing the same, with its interval.

    Each element holds one suite's score per question, in the same order of questions on both sides. Questions are
    resampled in pairs and within their suite, and the interval is the percentile one. ValueError if there is no
    suite, an empty one, or one with unlike numbers of questions.
    """
    if not candidate or len(candidate) != len(student):
        raise ValueError(
            f"cannot compare {len(candidate)} suites with {len(student)}; evaluate both on the same suites"
        )
    gains, resampled = [], np.zeros(resamples)
    for theirs, ours in zip(candidate, student, strict=True):
        if not len(theirs) or len(theirs) != len(ours):
            raise ValueError(
                f"cannot pair {len(theirs)} questions with {len(ours)}; evaluate both on the same questions"
            )
        # How often each distinct difference is drawn is multinomial: a bootstrap without [resamples, n] indices.
        values, counts = np.unique(np.asarray(theirs, float) - np.asarray(ours, float), return_counts=True)
        drawn = rng.multinomial(len(theirs), counts / len(theirs), size=resamples)
        gains.append(float(values @ counts) / len(theirs))
        resampled += drawn @ values / len(theirs) / len(candidate)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return sum(gains) / len(gains), float(low), float(high)


def promote(gain: float, low: float, *, tolerance: float) -> bool:
    """Whether the candidate replaces the student: it gained, and its interval's lower end exceeds `-tolerance`."""
    return gain > 0 and low > -tolerance
