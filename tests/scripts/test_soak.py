"""The soak in small, and that it can fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scripts.soak import KB_PER_ROUND, Load, judge, soak

FLAT = [Load(index, 48, 100_000, 20, 4) for index in range(101)]


def test_every_round_is_measured(tmp_path: Path) -> None:
    loads = soak(tmp_path, 4)
    assert [load.round for load in loads] == [0, 1, 2, 3, 4]
    assert all(load.memory_kb > 0 and load.files > 0 and load.threads > 0 for load in loads)


@pytest.mark.parametrize(
    ("change", "bounded"),
    [
        ({}, True),
        ({"files": 21}, False),
        ({"threads": 5}, False),
        ({"memory_kb": 100_000 + 90 * KB_PER_ROUND}, True),
        ({"memory_kb": 100_001 + 90 * KB_PER_ROUND}, False),
        ({"memory_kb": 100_001 + 90 * KB_PER_ROUND, "prompts": 49}, True),
    ],
)
def test_what_grows_beyond_its_bound_is_told(change: dict[str, int], bounded: bool) -> None:
    assert judge([*FLAT[:-1], replace(FLAT[-1], **change)])["bounded"] is bounded
