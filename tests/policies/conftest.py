"""Hypothesis draws the same examples in every run, and never fails a test for being slow on a busy machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("policies", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("policies")
