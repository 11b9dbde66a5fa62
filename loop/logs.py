"""The log: what happens while a campaign runs, with campaign, round and stage on each line.

    <home>/logs/<campaign>.log    all of it, plain or as JSON; begins anew at a size, older ones are kept beside it
    standard error                plain: what a person should see; JSON: all of it, and nothing else

A log that cannot be written disturbs nothing.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from loop.text import clean, one_line
from store.errors import DeltaloopError

OURS = ("loop", "store", "policies")
MB = 1_000_000


class Format(StrEnum):
    """How lines look."""

    PLAIN = "plain"
    JSON = "json"


@dataclass(frozen=True)
class Place:
    """Where the work is that a line tells of."""

    campaign: str | None = None
    round: int | None = None
    stage: str | None = None


NOWHERE = Place()
_place: ContextVar[Place] = ContextVar("place", default=NOWHERE)
_told = logging.getLogger("loop.told")
_handlers: list[logging.Handler] = []
"""Those of this module, the console first; none while nothing is logged."""


@contextmanager
def working_at(campaign: str, round: int, stage: str | None = None) -> Iterator[None]:
    """Within, lines of this thread tell of a round, or a stage of it."""
    token = _place.set(Place(campaign, round, stage))
    try:
        yield
    finally:
        _place.reset(token)


def begin(folder: Path, campaign: str, form: Format, *, log_mb: int, log_files: int, console: int) -> None:
    """Begin to log a campaign, in this form.

    Args:
        folder: of the log files; made if absent.
        campaign: names the file, and stands on lines that belong to no round.
        form: plain or JSON.
        log_mb: size at which a file begins anew.
        log_files: files that are kept beside the newest.
        console: level from which plain lines are shown on standard error.
    """
    end()
    logging.raiseExceptions = False  # a full disk must not cost more than the lines
    shown = logging.StreamHandler(sys.stderr)
    if form is Format.PLAIN:
        shown.setLevel(console)
        shown.addFilter(lambda record: record.name != _told.name)  # `tell` has printed it
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeltaloopError(f"{folder} cannot be made: {error.strerror}; check the home") from None
    kept = RotatingFileHandler(
        folder / f"{campaign}.log", maxBytes=log_mb * MB, backupCount=log_files, encoding="utf-8", delay=True
    )
    formatter = JsonLines(campaign) if form is Format.JSON else PlainLines(campaign)
    root = logging.getLogger()
    for handler in [other for other in root.handlers if type(other) is logging.StreamHandler]:
        root.removeHandler(handler)  # which has shown errors so far: `shown` takes its place
    for handler in (shown, kept):
        handler.setFormatter(formatter)
        _handlers.append(handler)
        root.addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def end() -> None:
    """Log no more."""
    while _handlers:
        handler = _handlers.pop()
        logging.getLogger().removeHandler(handler)
        handler.close()


def is_json() -> bool:
    """Whether standard error is for programs."""
    return bool(_handlers) and isinstance(_handlers[0].formatter, JsonLines)


def tell(line: str, level: int = logging.WARNING) -> None:
    """Show a line to whoever looks, and log it if anything is logged."""
    if not is_json():
        print(one_line(line), file=sys.stderr, flush=True)
    if _handlers:
        _told.log(level, line)


class LogStream(io.StringIO):
    """A stream whose lines are logged: for progress where standard error is JSON."""

    def write(self, text: str) -> int:
        """Log a line."""
        if text.strip():
            _told.info(text.strip())
        return len(text)


class OneLine(logging.Formatter):
    """Whatever a message quotes, it stays in its line; a traceback follows in lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """A line, and a traceback if there is one."""
        record.exc_text = None  # it may hold one that another formatter made
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The message."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The traceback."""
        return clean(super().formatException(ei))


class PlainLines(OneLine):
    """`2026-11-25T12:00:00Z INFO demo/3/score message`."""

    def __init__(self, campaign: str) -> None:
        super().__init__("%(message)s")
        self._campaign = campaign

    def format(self, record: logging.LogRecord) -> str:
        """A line, with a traceback below it if there is one: only for what nobody expected."""
        place = _place.get()
        where = "/".join(str(part) for part in (self._campaign, place.round, place.stage) if part is not None)
        return f"{_time(record):%Y-%m-%dT%H:%M:%SZ} {record.levelname} {where} {super().format(record)}"


class JsonLines(logging.Formatter):
    """One object a line: time, level, campaign, round, stage, message, and error if there is a traceback."""

    def __init__(self, campaign: str) -> None:
        super().__init__()
        self._campaign = campaign

    def format(self, record: logging.LogRecord) -> str:
        """In ASCII, so that no text breaks a line."""
        place = _place.get()
        told = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "campaign": place.campaign or self._campaign,
            "round": place.round,
            "stage": place.stage,
            "message": record.getMessage(),
        }
        error = {"error": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(told | error)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
