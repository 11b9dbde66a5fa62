"""MLflow's own pages and Optuna's, beside ours: their servers, as children of this process on ports of this machine.

viewers -> one process each, in a session of its own, its output in <home>/logs/NAME.log -> ended with this process
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from store.errors import DeltaloopError, UsageError

HOST = "127.0.0.1"
END_S = 5.0
"""Until a child that was asked to end is killed."""


@dataclass(frozen=True)
class Viewer:
    """A server of pages."""

    name: str
    port: int
    command: tuple[str, ...]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"


@dataclass(frozen=True)
class Child:
    """A viewer that was started."""

    viewer: Viewer
    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> None:
        """End it and its workers."""
        for number, patience in ((signal.SIGTERM, END_S), (signal.SIGKILL, None)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                return
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue


def viewers(home: Path, port: int) -> tuple[Viewer, ...]:
    """Those of a home: MLflow's on a port, Optuna's on the next. UsageError if Optuna's is not installed."""
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise UsageError("optuna-dashboard is not installed; pip install 'deltaloop[ui]'")
    mlflow = ("-m", "mlflow", "server", "--workers", "1", "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}")
    optuna = ("-c", "from optuna_dashboard._cli import main; main()", f"sqlite:///{home / 'optuna.db'}")
    return tuple(
        Viewer(name, own, (sys.executable, *command, "--host", HOST, "--port", str(own)))
        for name, own, command in (("mlflow", port, mlflow), ("optuna", port + 1, optuna))
    )


@contextmanager
def showing(viewers: Sequence[Viewer], logs: Path) -> Iterator[list[Child]]:
    """Within, they run. DeltaloopError if a port is taken."""
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        children = []
        for viewer in viewers:
            _check_free(viewer)
            children.append(_start(viewer, logs / f"{viewer.name}.log"))
            stack.callback(children[-1].end)
        yield children


def _check_free(viewer: Viewer) -> None:
    try:
        socket.create_server((HOST, viewer.port)).close()
    except (OSError, OverflowError) as error:
        raise DeltaloopError(f"--port: {viewer.port}, for {viewer.name}, is not free: {error}; name another") from None


def _start(viewer: Viewer, log: Path) -> Child:
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
    environment = os.environ | quiet | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # nothing is asked of it
    with log.open("ab") as stream:
        process = subprocess.Popen(
            viewer.command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment,
            start_new_session=True,
        )
    return Child(viewer, process, log)
