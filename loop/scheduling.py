"""When things are done, and by which thread: APScheduler fires, the main thread works.

    scheduler's thread: a job is due -> desk.ask(key, work), which waits until the work is done
    main thread:        desk.serve() -> look for orders -> work, one piece after the other -> look again

So a job that is due while it still runs is left out (`max_instances=1`), and several that were missed are one
(`coalesce`). Work has a key, a round that of the round: what is asked for twice is done once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from loop.service_settings import BACK_TO_BACK, OFF, cron_of, interval_of

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.base import BaseTrigger

AGAIN_S = 60
"""How often back-to-back rounds are begun again after a failure, or looked for after the last one."""

TICK_S = 0.2
"""How long the main thread waits for work before it looks for orders."""


@dataclass
class _Task:
    key: str
    work: Callable[[], object]
    done: threading.Event = field(default_factory=threading.Event)


class Desk:
    """Where other threads ask the main one for work."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._pending: dict[str, _Task] = {}
        self._closed = False

    def ask(self, key: str, work: Callable[[], object]) -> bool:
        """Have work done, and wait for it; False if the same work is pending already, or nobody works any more."""
        with self._lock:
            if self._closed or key in self._pending:
                return False
            task = self._pending[key] = _Task(key, work)
            self._tasks.put(task)
        task.done.wait()
        return True

    def serve(self, look: Callable[[], None]) -> None:
        """Do what is asked for, until `look`, which is called in between, or the work raises."""
        try:
            while True:
                look()
                self._next()
        finally:
            with self._lock:
                self._closed = True
                for task in self._pending.values():
                    task.done.set()

    def _next(self) -> None:
        try:
            task = self._tasks.get(timeout=TICK_S)
        except queue.Empty:
            return
        try:
            task.work()
        finally:
            with self._lock:
                del self._pending[task.key]
            task.done.set()


def trigger_of(text: str) -> BaseTrigger | None:
    """When a job is due; None for never. `text` is as in `[service]`."""
    from apscheduler.triggers.interval import IntervalTrigger

    if text == OFF:
        return None
    every = timedelta(seconds=AGAIN_S) if text == BACK_TO_BACK else interval_of(text)
    return cron_of(text) if every is None else IntervalTrigger(seconds=int(every.total_seconds()), timezone=UTC)


@contextmanager
def scheduling(misfire_s: int) -> Iterator[BackgroundScheduler]:
    """A scheduler that runs within, in memory: what is left to do says the ledger."""
    from apscheduler.schedulers.background import BackgroundScheduler

    defaults = {"max_instances": 1, "coalesce": True, "misfire_grace_time": misfire_s}
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults=defaults, daemon=True)
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown(wait=False)


def add_job(scheduler: BackgroundScheduler, name: str, trigger: str, job: Callable[[], object], *, now: bool) -> None:
    """Have a job done whenever it is due, and at once if `now`."""
    when = trigger_of(trigger)
    if when is not None:
        at_once = {"next_run_time": datetime.now(UTC)} if now else {}
        scheduler.add_job(job, when, id=name, name=name, **at_once)
