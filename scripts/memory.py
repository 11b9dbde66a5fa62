"""The most memory that this process has had, for the benchmarks."""

from __future__ import annotations

import re
from pathlib import Path


def peak_mb() -> float:
    """Peak resident memory of this process since its program started, in MB.

    `getrusage` would count the process that started this one too: its peak is handed down through fork and exec.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise RuntimeError("peak memory is read from /proc/self/status (Linux), which has no VmHWM line here")
    return int(found[1]) * 1024 / 1e6
