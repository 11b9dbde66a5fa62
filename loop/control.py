"""Orders of an operator, carried out: `pause`, `resume` and `stop`, given by another process through the ledger.

    a thread looks for the order every second -> `look`, where nothing is uncommitted: waits, goes on, or raises Stopped

`look` is called between stages, and with every advance of progress.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from loop.lease import holding
from loop.logs import tell
from loop.ports import Ledger, Progress
from loop.progress import Watched
from loop.stopping import Stopping, listening
from store.errors import DeltaloopError
from store.records import Order

EVERY_S = 1.0
"""How often the ledger is asked."""


class Control:
    """What is asked of this process, about its campaign."""

    def __init__(self, campaign: str, stopping: Stopping) -> None:
        self.campaign = campaign
        self._stopping = stopping
        self._may_run = threading.Event()
        self._may_run.set()

    def look(self) -> None:
        """Wait while the campaign is paused; Stopped if it is to end. Called where nothing is uncommitted."""
        self._stopping.look()
        if self._may_run.is_set():
            return
        tell(f"campaign `{self.campaign}` is paused; go on with: deltaloop resume {self.campaign}")
        while not self._may_run.wait(0.1):
            self._stopping.look()

    def watching(self, progress: Progress) -> Progress:
        """Progress that looks with every advance."""
        return Watched(progress, self.look)

    @property
    def is_paused(self) -> bool:
        """Whether no new work is taken."""
        return not self._may_run.is_set()

    @property
    def is_stopping(self) -> bool:
        """Whether the process is to end."""
        return self._stopping.changed.is_set()

    def take(self, order: Order) -> None:
        """Note an order."""
        if order is Order.PAUSE:
            self._may_run.clear()
            return
        self._may_run.set()
        if order is Order.STOP and not self.is_stopping:
            self._stopping.ask("stopped by `deltaloop stop`", 0)


@contextmanager
def obeying(ledger: Ledger, campaign: str, stopping: Stopping, *, every_s: float = EVERY_S) -> Iterator[Control]:
    """Within, orders to the controller of a campaign are carried out."""
    control, ended = Control(campaign, stopping), threading.Event()
    control.take(ledger.find_order(campaign))

    def ask() -> None:
        while not ended.wait(every_s):
            with suppress(DeltaloopError):  # a busy or absent database: the next time will tell
                control.take(ledger.find_order(campaign))

    thread = threading.Thread(target=ask, name="orders", daemon=True)
    thread.start()
    try:
        yield control
    finally:
        ended.set()
        thread.join()


@contextmanager
def controlling(ledger: Ledger, campaign: str) -> Iterator[Control]:
    """Within, this process is the controller of a campaign: it holds the lease, and obeys signals and orders.

    Stopped, if it is asked to end; CampaignHeld if another process is at it.
    """
    with (
        listening() as stopping,
        holding(ledger, campaign, on_loss=stopping.interrupt),
        obeying(ledger, campaign, stopping) as control,
    ):
        yield control
