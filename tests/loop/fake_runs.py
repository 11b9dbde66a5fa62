"""Runs of a fake campaign, undisturbed or interrupted at one operation."""

from __future__ import annotations

from pathlib import Path

from loop.campaign import run_campaign
from store.verify import verify
from tests.fakes import fake_ports, fake_settings


class Interrupter:
    """Raises KeyboardInterrupt at one operation, once."""

    def __init__(self, at: int | None = None, error: BaseException | None = None) -> None:
        self.at = at
        self.error = error or KeyboardInterrupt()
        self.count = 0
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)
        self.count += 1
        if self.count - 1 == self.at:
            raise self.error


def run(home: Path, beat: Interrupter, *, ledger_url: str | None = None, **changes: object) -> str:
    """Run the fake campaign in a home; returns the fingerprint of its facts."""
    ports, student, teacher = fake_ports(home, beat, ledger_url=ledger_url)
    try:
        run_campaign(fake_settings(**changes), ports, student, teacher)
        checked = verify(ports.ledger, ports.blobs, ports.checkpoints)
        assert not checked.problems
        return checked.fingerprint
    finally:
        ports.ledger.close()
