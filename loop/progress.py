"""Progress of long work: bars with rate and time left on a terminal, plain lines at a calm pace elsewhere.

make_progress(stream) -> RichProgress | LineProgress -> bar(label, total) -> advance(done), called as work is done
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichBars
from rich.text import Text

from loop.ports import Advance, Progress
from loop.text import one_line

LINE_EVERY_S = 5.0


def make_progress(stream: TextIO) -> Progress:
    """Bars if a person watches the stream, lines otherwise."""
    return RichProgress(Console(file=stream)) if stream.isatty() else LineProgress(stream)


class RichProgress:
    """One line per bar that is open; a closed bar disappears."""

    def __init__(self, console: Console) -> None:
        label = TextColumn("{task.description}", markup=False)
        columns = (label, BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
        self._bars = RichBars(*columns, console=console, transient=True)
        self._num_open = 0

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """A bar for `total` pieces of work, without an end if that is unknown; none is drawn for no work."""
        if total == 0:
            yield _ignore
            return
        if not self._num_open:
            self._bars.start()
        self._num_open += 1
        task = self._bars.add_task(one_line(label), total=total)
        try:
            yield lambda done: self._bars.advance(task, done)
        finally:
            self._bars.refresh()
            self._bars.remove_task(task)
            self._num_open -= 1
            if not self._num_open:
                self._bars.stop()


class Rate(ProgressColumn):
    """Pieces of work per second."""

    def render(self, task: Task) -> Text:
        """The recent speed, blank until it is known."""
        return Text(f"{task.speed:.3g}/s" if task.speed else "")


@dataclass(frozen=True)
class WorkDone:
    """How far a bar had come, at a time."""

    label: str
    done: int
    total: int | None
    """None where the end is unknown, as in `left_s`."""
    rate: float
    """Pieces of work per second, since the bar began."""
    left_s: float | None
    at: str
    """UTC."""

    def line(self) -> str:
        """`student samples 320/4800 118/s, 38 s left`."""
        of = "" if self.total is None else f"/{self.total}"
        left = "" if self.left_s is None else f", {self.left_s:.0f} s left"
        return f"{self.label} {self.done}{of} {self.rate:.3g}/s{left}"


class PacedProgress:
    """Tells how far work has come at most once in a while, whatever the number of bars."""

    def __init__(self, every_s: float, tell: Callable[[WorkDone], None], clock: Callable[[], float]) -> None:
        self._every_s = every_s
        self._tell = tell
        self._clock = clock
        self._told = clock()

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """The bar that advanced last is told of."""
        begun, done, label = self._clock(), 0, one_line(label)  # a suite's name may be in it

        def advance(num: int, /) -> None:
            nonlocal done
            done += num
            now = self._clock()
            if now - self._told >= self._every_s:
                self._told = now
                rate = done / max(now - begun, 1e-9)
                left_s = max(total - done, 0) / rate if total is not None and rate else None
                self._tell(WorkDone(label, done, total, rate, left_s, datetime.now(UTC).isoformat(timespec="seconds")))

        yield advance


class LineProgress(PacedProgress):
    """A plain line every few seconds."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        every_s: float = LINE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Lines go to standard error unless another stream is given."""
        stream = stream or sys.stderr
        super().__init__(every_s, lambda work: print(work.line(), file=stream, flush=True), clock)


def _ignore(done: int, /) -> None:
    """Nothing to show."""


@dataclass(frozen=True)
class Watched:
    """Passes progress on, and looks at something with every advance: orders, the clock."""

    inner: Progress
    look: Callable[[], None]

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """As the inner one."""
        with self.inner.bar(label, total) as inner_advance:

            def advance(done: int, /) -> None:
                inner_advance(done)
                self.look()

            yield advance
