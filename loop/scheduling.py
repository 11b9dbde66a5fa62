"""When things are done, and by which thread: APScheduler fires, the main thread works.

    scheduler's thread: a job is due -> desk.ask(key, work), which waits until the work is done
    main thread:        desk.serve() -> look for orders -> work, one piece after the other -> look again

So a job that is due while it still runs is left out (`max_instances=1`), and several that were missed are one
(`coalesce`). Work has a key, a round that of the round: what is asked for twice is done once.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from loop.service_settings import BACK_TO_BACK, OFF, cron_of, interval_of

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.base import BaseTrigger

log = logging.getLogger(__name__)

AGAIN_S = 60
"""How often back-to-back rounds are begun again after a failure, or looked for after the last one."""

FOLLOW_S = 5.0
"""How often the clock is looked at."""

STEP_S = 2.0
"""A change of the clock that is no slight slew, as NTP makes it."""

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
    drift, ended = Drift(), threading.Event()

    def follow() -> None:
        while not ended.wait(FOLLOW_S):
            if step_s := drift.step_s():
                shift(scheduler, step_s)

    thread = threading.Thread(target=follow, name="clock", daemon=True)
    thread.start()
    try:
        yield scheduler
    finally:
        ended.set()
        thread.join()
        scheduler.shutdown(wait=False)


class Drift:
    """How far the clock of the day has been set, by one that nobody sets."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] | None = None) -> None:
        """`steady` goes on while the machine is suspended, where the system has such a clock."""
        self._wall = wall
        self._steady = steady or partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
        self._between = wall() - self._steady()

    def step_s(self) -> float:
        """Seconds by which the clock was set since the last call, forward or (negative) back; 0 for a slight slew."""
        between = self._wall() - self._steady()
        step_s, self._between = between - self._between, between
        return step_s if abs(step_s) > STEP_S else 0.0


def shift(scheduler: BackgroundScheduler, step_s: float) -> None:
    """The clock was set: intervals end when they would have, and crontab times are looked at anew."""
    from apscheduler.triggers.interval import IntervalTrigger

    log.warning("the clock was set by %+.0f s: intervals go on as they were", step_s)
    for job in scheduler.get_jobs():
        if isinstance(job.trigger, IntervalTrigger) and job.next_run_time is not None:
            job.modify(next_run_time=job.next_run_time + timedelta(seconds=step_s))
    scheduler.wakeup()


def add_job(scheduler: BackgroundScheduler, name: str, trigger: str, job: Callable[[], object], *, now: bool) -> None:
    """Have a job done whenever it is due, and at once if `now`."""
    when = trigger_of(trigger)
    if when is not None:
        at_once = {"next_run_time": datetime.now(UTC)} if now else {}
        scheduler.add_job(job, when, id=name, name=name, **at_once)
