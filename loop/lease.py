"""One controller per campaign: holds the campaign's lease, with a heartbeat, while its rounds run.

with holding(ledger, "mine"): ...    CampaignHeld if another process is at it
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loop.ports import Ledger
from store.errors import LeaseLost, LedgerUnusable
from store.owners import is_running, this_process

LEASE_S = 30.0
"""How long an owner that nobody can know to be dead keeps its lease after its last sign of life."""

BEATS = 6
"""Heartbeats in that time: some may fail."""


def interrupt_main_thread() -> None:
    """As Ctrl-C does, also where it waits for something."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


@contextmanager
def holding(
    ledger: Ledger, campaign: str, *, lease_s: float = LEASE_S, on_loss: Callable[[], object] = interrupt_main_thread
) -> Iterator[None]:
    """Hold the lease of a campaign; LeaseLost if it is lost within.

    Args:
        ledger: what is written through it belongs to this lease: after a loss it refuses every write.
        campaign: the name of the campaign, which need not exist yet.
        lease_s: time to expiry.
        on_loss: called from the heartbeat's thread; by default it interrupts the main thread.
    """
    _await_heartbeat(ledger, campaign, lease_s / BEATS)
    lease = ledger.take_lease(campaign, this_process(), lease_s=lease_s)
    heart = _Heart(ledger, lease_s / BEATS, on_loss)
    try:
        try:
            yield
        finally:
            heart.stop()
    except BaseException as error:
        if heart.lost is not None:  # whatever came of it: an interruption, a connection that the server has closed
            raise heart.lost from error
        raise
    finally:
        if heart.lost is None:
            ledger.release_lease(lease)


def _await_heartbeat(ledger: Ledger, campaign: str, every_s: float) -> None:
    """A lease has expired, and its owner runs on this host: the clock may have jumped. The next heartbeat tells."""
    held = ledger.find_lease(campaign)
    if held is not None and -math.inf < held.remaining_s <= 0 and is_running(held.owner):
        time.sleep(1.5 * every_s)


class _Heart:
    """A thread that renews the lease until it is stopped, or the lease is lost."""

    def __init__(self, ledger: Ledger, every_s: float, on_loss: Callable[[], object]) -> None:
        self.lost: LeaseLost | None = None
        self._ledger = ledger
        self._every_s = every_s
        self._on_loss = on_loss
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self._ledger.renew_lease()
            except LeaseLost as error:
                self.lost = error
                self._on_loss()
                return
            except LedgerUnusable:
                pass  # a busy or absent database; who writes is told, and the next beat tries again
