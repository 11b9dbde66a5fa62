"""Progress of long work: bars with rate and time left on a terminal, plain lines at a calm pace elsewhere.

make_progress(stream) -> RichProgress | LineProgress -> bar(label, total) -> advance(done), called as work is done
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichBars
from rich.text import Text

from loop.ports import Advance, Progress

LINE_EVERY_S = 5.0


def make_progress(stream: TextIO) -> Progress:
    """Bars if a person watches the stream, lines otherwise."""
    return RichProgress(Console(file=stream)) if stream.isatty() else LineProgress(stream)


class RichProgress:
    """One line per bar that is open; a closed bar disappears."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
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
        task = self._bars.add_task(label, total=total)
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


class LineProgress:
    """At most one line every few seconds, whatever the number of bars."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        every_s: float = LINE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Lines go to standard error unless another stream is given."""
        self._stream = stream or sys.stderr
        self._every_s = every_s
        self._clock = clock
        self._told = clock()

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """Lines of the form `label 320/4800 118/s, 38 s left`; `label 320 118/s` where the end is unknown."""
        begun, done = self._clock(), 0
        of = "" if total is None else f"/{total}"

        def advance(num: int, /) -> None:
            nonlocal done
            done += num
            now = self._clock()
            if now - self._told >= self._every_s:
                self._told = now
                rate = done / max(now - begun, 1e-9)
                left = "" if total is None or not rate else f", {max(total - done, 0) / rate:.0f} s left"
                print(f"{label} {done}{of} {rate:.3g}/s{left}", file=self._stream, flush=True)

        yield advance


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
