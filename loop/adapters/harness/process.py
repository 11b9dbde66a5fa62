"""lmms-eval as a subprocess in its own environment: a job goes in, its questions come out, a result comes back.

    <folder>/job.json, log.txt, requests-0.jsonl, answers-0.jsonl, <digest>.png, result.json

`driver.py` says what they hold. All of it is scratch but for the log, which is kept where a run fails.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loop.harness_place import find_python
from store.errors import HarnessFailed, UsageError
from store.records import HarnessScore

DRIVER = Path(__file__).with_name("driver.py")
LOG_LINES = 6
"""Of the harness's log, so many of its last lines are in an error's message."""


@dataclass(frozen=True)
class Request:
    """What a task asks: text and images, as files, and how long a response may be if it says so."""

    text: str
    images: tuple[Path, ...]
    max_tokens: int | None


@dataclass(frozen=True)
class Question:
    """A question of a task as the harness scored it."""

    id: str
    target: str
    response: str
    """What it scored: the response without what it takes for reasoning."""
    scores: dict[str, float]
    """By metric; only those that are a number."""


@dataclass(frozen=True)
class HarnessRun:
    """What came of a task."""

    harness_version: str
    metric: str | None
    """The first metric that scores every question, if there is one."""
    scores: tuple[HarnessScore, ...]
    questions: tuple[Question, ...]


Answer = Callable[[Sequence[Request]], list[str]]
"""Gives the responses to requests, in their order."""


def run_task(
    task: str, answer: Answer, folder: Path, *, include: Path | None, limit: int | None, time_limit_s: float
) -> HarnessRun:
    """Run a task of lmms-eval in a scratch folder, made anew.

    Args:
        task: a task or a group of tasks.
        answer: asked by the task.
        folder: scratch; left behind, with the log, if the run fails.
        include: folder of own task files.
        limit: the first so many questions of each task; None for all.
        time_limit_s: after which the run is ended, in seconds.

    HarnessFailed says what went wrong, UsageError that there is no such task.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job = {
        "task": task,
        "include": None if include is None else str(include),
        "limit": limit,
        "folder": str(folder),
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    with _driver(folder, time_limit_s) as (process, timed_out):
        told = _converse(process, answer, timed_out)
        if told is None:
            process.wait()  # for its exit code; one that has told its result may take as long as it likes to end
    if told is None and timed_out.is_set():
        raise HarnessFailed(
            f"task {task!r} was ended after evaluation.time_limit_s = {time_limit_s:g} seconds; raise it, or ask fewer"
            f" questions{_log(folder)}"
        )
    if told is None:
        raise HarnessFailed(
            f"lmms-eval ended in task {task!r} with exit code {process.returncode} and no result{_log(folder)}"
        )
    if "refused" in told:
        raise _refusal(task, told, folder)
    run = _read(json.loads(Path(told["done"]).read_text(encoding="utf-8")))
    shutil.rmtree(folder, ignore_errors=True)
    return run


@contextmanager
def _driver(folder: Path, time_limit_s: float) -> Iterator[tuple[subprocess.Popen[str], threading.Event]]:
    """The driver's process, which ends with the block, at the latest; the event says that its time was up."""
    timed_out = threading.Event()
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [find_python(), "-P", DRIVER, folder / "job.json"],
            cwd=folder,  # some tasks write where they are started
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            env=_environment(),
            start_new_session=True,  # so that what it started ends with it
        )

        def time_is_up() -> None:
            timed_out.set()
            _end(process)

        timer = threading.Timer(time_limit_s, time_is_up)
        timer.daemon = True
        timer.start()
        try:
            yield process, timed_out
        finally:
            timer.cancel()
            _end(process)
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()


def _environment() -> dict[str, str]:
    """As here, but for what concerns this interpreter only; a judge's key, e.g. OPENAI_API_KEY, is passed on."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"PYTHONIOENCODING": "utf-8", "TOKENIZERS_PARALLELISM": "false"}


def _end(process: subprocess.Popen[str]) -> None:
    """End the process and what it started. Until it was waited for, its group's number is nobody else's."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _converse(process: subprocess.Popen[str], answer: Answer, timed_out: threading.Event) -> dict[str, Any] | None:
    """Answer until the driver has told how it ended; None if it ended without a word."""
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        message: dict[str, Any] = json.loads(line)
        if "ask" not in message:
            return message
        responses = answer([_request(row) for row in _lines(Path(message["ask"]))])
        if timed_out.is_set():
            return None
        text = "".join(json.dumps(response) + "\n" for response in responses)
        Path(message["answers"]).write_text(text, encoding="utf-8")
        try:
            print("answered", file=process.stdin, flush=True)
        except BrokenPipeError:  # it ended meanwhile: its exit code and its log say why
            return None
    return None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def _request(row: dict[str, Any]) -> Request:
    return Request(row["text"], tuple(map(Path, row["images"])), row["max_tokens"])


def _read(result: dict[str, Any]) -> HarnessRun:
    return HarnessRun(
        result["harness_version"],
        result["metric"],
        tuple(HarnessScore(**score) for score in result["scores"]),
        tuple(Question(**question) for question in result["questions"]),
    )


def _refusal(task: str, told: dict[str, Any], folder: Path) -> Exception:
    if told["kind"] == "unknown":
        near = f"; near it are {', '.join(told['near'])}" if told["near"] else ""
        shutil.rmtree(folder, ignore_errors=True)
        return UsageError(f"{told['refused']}{near}; `{find_python()} -m lmms_eval tasks list` lists all")
    if told["kind"] == "hub":
        return HarnessFailed(
            f"task {task!r} needs data of the hub, which was not reached or does not have them: {told['refused']};"
            " connect, or fetch them into HF_HOME where there is a connection; without one, set HF_HUB_OFFLINE=1, so"
            f" that it looks there at once{_log(folder, lines=0)}"
        )
    if told["kind"] == "task":
        shutil.rmtree(folder, ignore_errors=True)
        return HarnessFailed(f"{told['refused']}; leave it out")
    return HarnessFailed(f"lmms-eval failed in task {task!r}: {told['refused']}{_log(folder)}")


def _log(folder: Path, *, lines: int = LOG_LINES) -> str:
    """Where the whole log is, and its last lines, of which a message holds one."""
    path = folder / "log.txt"
    text = path.read_text(encoding="utf-8", errors="replace")
    last = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]  # tracebacks underline by whole lines
    said = f"; its log ends: {' | '.join(last[-lines:])}" if last and lines else ""
    return f"; the whole log is {path}{said}"
