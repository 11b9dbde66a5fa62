"""How far the running work of a campaign has come, for whoever looks from another process.

    controller   bar(label, total) -> advance -> at most once a second <home>/progress/NAME.json; no file without a bar
    status, dashboard, report                 <- WorkDone, or nothing

It is no fact: a file that is lost, torn or left by a killed process changes nothing but what is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from loop.ports import Advance, Progress

EVERY_S = 1.0


@dataclass(frozen=True)
class WorkDone:
    """A bar, as it stood at a time."""

    label: str
    done: int
    total: int | None
    """None where the end is unknown, as in `left_s`."""
    rate: float
    """Pieces of work per second, since the bar began."""
    left_s: float | None
    at: str
    """UTC."""


_json = TypeAdapter(WorkDone)


class PublishedProgress:
    """Passes progress on, and writes it down for others."""

    def __init__(self, inner: Progress, file: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`file` is this process's alone while its bars are open."""
        self._inner = inner
        self._file = file
        self._clock = clock
        self._told = clock() - EVERY_S

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """As the inner one."""
        begun, done = self._clock(), 0

        def advance(num: int, /) -> None:
            nonlocal done
            done += num
            inner_advance(num)
            now = self._clock()
            if now - self._told >= EVERY_S:
                self._told = now
                self._write(label, done, total, now - begun)

        with self._inner.bar(label, total) as inner_advance:
            try:
                yield advance
            finally:
                with suppress(OSError):
                    self._file.unlink(missing_ok=True)

    def _write(self, label: str, done: int, total: int | None, seconds: float) -> None:
        rate = done / max(seconds, 1e-9)
        left_s = (total - done) / rate if total is not None and rate else None
        told = WorkDone(label, done, total, rate, left_s, datetime.now(UTC).isoformat(timespec="seconds"))
        temporary = self._file.with_suffix(".new")
        with suppress(OSError):  # a full disk ends a stage where it loses something, not here
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(_json.dump_json(told))
            temporary.replace(self._file)


def read_work_done(file: Path) -> WorkDone | None:
    """What a file tells; None if there is none, or it is not whole."""
    try:
        return _json.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def work_line(work: WorkDone) -> str:
    """`student samples 320/4800, 118/s, 38 s left (13:55:02 UTC)`."""
    of = "" if work.total is None else f"/{work.total}"
    left = "" if work.left_s is None else f", {work.left_s:.0f} s left"
    return f"{work.label} {work.done}{of}, {work.rate:.3g}/s{left} ({work.at[11:19]} UTC)"
