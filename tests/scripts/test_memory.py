"""A benchmark's peak memory is its own."""

from __future__ import annotations

import subprocess
import sys

from scripts.memory import peak_mb


def test_the_peak_covers_what_was_freed() -> None:
    before = peak_mb()
    held = bytearray(int(before * 1e6) + 100_000_000)
    held[::4096] = b"x" * len(held[::4096])
    del held
    assert peak_mb() > before + 90


def test_a_child_does_not_inherit_its_parents_peak() -> None:
    held = bytearray(400_000_000)
    held[::4096] = b"x" * len(held[::4096])
    told = subprocess.run(
        [sys.executable, "-c", "from scripts.memory import peak_mb; print(peak_mb())"], capture_output=True, check=True
    )
    assert float(told.stdout) < 300 < peak_mb()
