"""Processes by what tells them apart for ever: the host, its boot, the process and when it started.

A process id alone is given out again. Where the system has /proc, an owner of the same boot and the same process
namespace is known to be dead or alive; anybody else is not, and keeps a lease until it expires.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from store.records import Lease, Owner

PROC = Path("/proc")
DEAD = ("Z", "X")
"""States of a process that has ended but that nobody has waited for."""
STANDING = ("T", "t")
"""States of a process that was stopped, e.g. by SIGSTOP."""


def this_process() -> Owner:
    """The owner that this process is."""
    _, started = _state(os.getpid()) or ("", "")
    return Owner(socket.gethostname(), os.getpid(), _boot(), started)


def is_dead(owner: Owner) -> bool:
    """Whether the process is known to have ended."""
    if not owner.boot or owner.boot != _boot():
        return False
    found = _state(owner.pid)
    return found is None or found[0] in DEAD or found[1] != owner.started


def is_running(owner: Owner) -> bool:
    """Whether the process is known to be at work: it has not ended, and nobody has stopped it."""
    if not owner.boot or owner.boot != _boot():
        return False
    found = _state(owner.pid)
    return found is not None and found[1] == owner.started and found[0] not in (*DEAD, *STANDING)


def is_held(lease: Lease) -> bool:
    """Whether somebody works under a lease: it has not expired, and its owner is not known to have ended."""
    return lease.remaining_s > 0 and not is_dead(lease.owner)


def _boot() -> str:
    """The boot of this host, and the namespace in which its process ids are meant; '' where that is not known."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _state(pid: int) -> tuple[str, str] | None:
    """The state of a process and its start in clock ticks since the boot, which no change of the clock moves."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return fields[0], fields[19]
