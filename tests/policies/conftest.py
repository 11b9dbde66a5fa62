"""Hypothesis draws the same examples in every run, and never fails a test for being slow on a busy machine.

It holds for the whole suite, and stands here because the environment of vLLM, which reads tests/conftest.py, has none.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")
