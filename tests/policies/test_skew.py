"""The formulas of the skew divergence's error, against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from policies.skew import bias_and_error, skew_kl


@pytest.mark.parametrize("smoothing", [0.05, 0.3])
def test_bias_and_error_agree_with_simulation(smoothing: float) -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    rng = np.random.default_rng(0)
    students, teachers = rng.multinomial(200, p, size=8000) / 200, rng.multinomial(300, q, size=8000) / 300
    deltas = np.array([skew_kl(a, b, smoothing) for a, b in zip(students, teachers, strict=True)])
    bias, error = bias_and_error(p, q, 200, 300, smoothing)
    assert error == pytest.approx(deltas.std(), rel=0.04)
    assert bias == pytest.approx(deltas.mean() - skew_kl(p, q, smoothing), rel=0.3)


def test_error_is_zero_when_all_samples_agree() -> None:
    assert bias_and_error(np.array([1.0, 0.0]), np.array([1.0, 0.0]), 8, 8, 0.05) == (0.0, 0.0)
