"""Who works on a campaign."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Owner:
    """A process, by what tells it from every other one."""

    host: str
    pid: int
    boot: str
    """The boot of the host and its process namespace; '' where the system does not tell."""
    started: str
    """When the process started, in clock ticks since the boot."""


@dataclass(frozen=True)
class Lease:
    """The right of one process to work on a campaign, until it expires."""

    campaign: str
    token: int
    """Grows with each owner: who writes with an older one is refused."""
    owner: Owner
    since: str
    """UTC, ISO 8601."""
    remaining_s: float
    """Seconds until it expires, by the clock of the database; not positive if it has, -inf if it was given back."""
