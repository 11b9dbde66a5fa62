"""How far the running work of a campaign has come, for whoever looks from another process.

    controller   bar(label, total) -> advance -> at most once a second <home>/progress/NAME.json; no file without a bar
    status, API, dashboard                    <- WorkDone, or nothing

It is no fact: a file that is lost, torn or left by a killed process changes nothing but what is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from loop.ports import Advance, Progress
from loop.progress import PacedProgress, WorkDone

EVERY_S = 1.0

_json = TypeAdapter(WorkDone)


class PublishedProgress:
    """Passes progress on, and writes it down for others."""

    def __init__(self, inner: Progress, file: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`file` is this process's alone while its bars are open."""
        self._inner = inner
        self._file = file
        self._paced = PacedProgress(EVERY_S, self._write, clock)

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """As the inner one."""
        with self._inner.bar(label, total) as inner_advance, self._paced.bar(label, total) as tell:

            def advance(done: int, /) -> None:
                inner_advance(done)
                tell(done)

            try:
                yield advance
            finally:
                with suppress(OSError):
                    self._file.unlink(missing_ok=True)

    def _write(self, work: WorkDone) -> None:
        temporary = self._file.with_suffix(".new")
        with suppress(OSError):  # a full disk ends a stage where it loses something, not here
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(_json.dump_json(work))
            temporary.replace(self._file)


def read_work_done(file: Path) -> WorkDone | None:
    """What a file tells; None if there is none, or it is not whole."""
    try:
        return _json.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
