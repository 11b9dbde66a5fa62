"""The skew divergence KL(p, (1 - s) q + s p) of two distributions over aligned classes, and how its estimates err.

Shares p, q [k] that each sum to one, smoothing s in (0, 1), nats throughout. Lee 1999, "Measures of distributional
similarity", has it with p and q the other way round.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def skew_kl(p: NDArray[np.float64], q: NDArray[np.float64], smoothing: float) -> float:
    """In [0, log(1 / s)]. Summed exactly (fsum), so that the order of the classes cannot matter."""
    seen = p > 0
    p, q = p[seen], q[seen]
    value = math.fsum((p * np.log(p / ((1 - smoothing) * q + smoothing * p))).tolist())
    return min(max(value, 0.0), math.log(1 / smoothing))


def bias_and_error(
    p: NDArray[np.float64], q: NDArray[np.float64], num_student: int, num_teacher: int, smoothing: float
) -> tuple[float, float]:
    """Of the plug-in Δ: its bias, to second order, and its standard error, to first. Both forget unseen classes.

    With m = (1 - s) q + s p and r = p / m: ∂Δ/∂p = log r + 1 - s r, ∂²Δ/∂p² = (1 - s r)² / p, ∂Δ/∂q = -(1 - s) r and
    ∂²Δ/∂q² = (1 - s)² r² / p, each for p > 0 and class by class; p and q vary as multinomial shares do.
    """
    seen = p > 0
    ps, qs = p[seen], q[seen]
    r = ps / ((1 - smoothing) * qs + smoothing * ps)
    by_p, by_q = np.log(r) + 1 - smoothing * r, -(1 - smoothing) * r
    curved_p = (1 - ps) * (1 - smoothing * r) ** 2
    curved_q = qs * (1 - qs) * by_q**2 / ps
    bias = (curved_p.sum() / num_student + curved_q.sum() / num_teacher) / 2
    variance = (ps @ by_p**2 - (ps @ by_p) ** 2) / num_student + (qs @ by_q**2 - (qs @ by_q) ** 2) / num_teacher
    return float(bias), math.sqrt(max(float(variance), 0.0))
