"""One of the processes that train together: `python -m loop.train_process FOLDER` under torchrun or accelerate.

FOLDER holds the orders, and gets what came out; see `loop/adapters/launching.py`, which starts this.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loop.ports import Advance


class _Steps:
    """Progress of the first process, as lines of a file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @contextmanager
    def bar(self, label: str, total: int | None) -> Iterator[Advance]:
        """A line for each advance."""
        yield self._advance

    def _advance(self, done: int, /) -> None:
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(f"{done}\n")


def end_with_the_controller() -> None:
    """Standard input is a pipe of the controller's, in which nothing is ever written: it ends when that does."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main(folder: Path) -> int:
    """Train as the orders say."""
    threading.Thread(target=end_with_the_controller, daemon=True).start()
    from loop.bootstrap import train_as_ordered

    first = os.environ.get("RANK", "0") == "0"
    return train_as_ordered(folder, _Steps(folder / "steps" if first else None), first=first)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
