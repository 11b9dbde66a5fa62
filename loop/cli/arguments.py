"""What several commands take, and how they tell what to type next."""

from __future__ import annotations

import gc
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loop.logs import Format, LogStream, begin, tell
from loop.stopping import Stopped

if TYPE_CHECKING:
    from loop.bootstrap import Home
    from loop.config import CampaignSettings
    from loop.ports import Progress

HomeOption = Annotated[Path, typer.Option("--home", metavar="DIR", help="Folder of everything that runs write.")]
LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="URL",
        envvar="DELTALOOP_LEDGER",
        help="SQL ledger: a URL or the path of an SQLite file; by default ledger.db in the home.",
    ),
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file (TOML).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. training.steps=50. May be repeated."),
]
LogOption = Annotated[
    Format,
    typer.Option("--log", envvar="DELTALOOP_LOG", help="Form of the log: plain lines, or JSON, a line an object."),
]
ColumnOption = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of this; guessed if left out.")]
ColumnsOption = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Column of these; may be repeated.")]
DEFAULT_HOME = Path("mlruns")


@contextmanager
def resumable(again: str) -> Iterator[None]:
    """Within, whatever ends the process early tells the command that goes on."""
    try:
        yield
    except KeyboardInterrupt as end:  # which Typer turns into exit code 130
        reason = end.reason if isinstance(end, Stopped) else "interrupted"
        tell(f"{reason}: what is committed is kept; go on with: {again}")
        if isinstance(end, Stopped):
            gc.freeze()  # the interpreter would spend seconds on collecting what the system takes back at once
            raise typer.Exit(end.exit_code) from None
        raise


def typed(rounds: int | None, overrides: list[str] | None) -> list[str]:
    """The options that were typed to override the campaign file."""
    words = [word for override in overrides or [] for word in ("--set", override)]
    return words + ([f"--rounds={rounds}"] if rounds is not None else [])


def again(words: list[str], home: Path, ledger: str | None) -> str:
    """The command line that does something in this home. A ledger URL may hold a password, and is not repeated."""
    options = [] if home == DEFAULT_HOME else ["--home", str(home)]
    if ledger is not None and not os.environ.get("DELTALOOP_LEDGER"):
        options += ["--ledger", "URL"]
    return shlex.join(["deltaloop", *words, *options])


def begin_log(settings: CampaignSettings, home: Home, form: Format, *, console: int) -> None:
    """Log a campaign from now on; plain lines of a level from `console` on are shown as well."""
    service = settings.service
    begin(
        home.paths.home / "logs",
        settings.name,
        form,
        log_mb=service.log_mb,
        log_files=service.log_files,
        console=console,
    )


def progress_of(form: Format, file: Path) -> Progress:
    """Progress on standard error, in the form of the log, and in a file for other processes."""
    from loop.progress import LineProgress, make_progress
    from loop.work_done import PublishedProgress

    shown = LineProgress(LogStream()) if form is Format.JSON else make_progress(sys.stderr)
    return PublishedProgress(shown, file)
