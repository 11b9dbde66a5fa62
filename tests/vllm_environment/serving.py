"""The vLLM environment of the tests (`make test-tools`): its Python, and a real server on a model folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, TOOLS

PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
NEEDED = f"needs the vLLM environment: {TOOLS}"
START_SECONDS = 480
"""A quiet machine takes 30; one that is busy with six other things has been seen to take 200."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else servers and tests that run side by side share a core
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True)
class Served:
    """A server that answers."""

    url: str
    """Base URL of the OpenAI-compatible API."""
    name: str
    """What the server calls the model."""
    folder: Path
    adapters: Mapping[str, Path]
    """Versions that it serves besides, by the adapters in their folders; what it calls each, and its folder."""
    pid: int
    """Of the server, which leads a process group of its own."""


@contextmanager
def serving(
    folder: Path, log: Path, *, name: str, adapters: Mapping[str, Path] | None = None, port: int | None = None
) -> Iterator[Served]:
    """`vllm serve` on a folder in float32, on a free port of this machine; ended with its children on leaving."""
    port, adapters = port or free_port(), adapters or {}
    # What `vllm serve` runs; the command itself asks for the version of a package `vllm`, and this one is `vllm-cpu`.
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--served-model-name", name]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-model-len", "512"]
    command += [
        "--max-num-seqs",
        "64",
        "--enforce-eager",
        "--max-logprobs",
        "64",
        "--generation-config",
        "vllm",
        "--enable-scale-out",
    ]
    # vLLM 0.32 on a CPU fails when it cuts the prompt of a request with a seed.
    command += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096"]
    if adapters:
        command += ["--enable-lora", "--enable-tower-connector-lora", "--lora-modules"]
        command += [f"{own}={version / 'adapter'}" for own, version in adapters.items()]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=os.environ | ENVIRONMENT, stdout=output, stderr=output, cwd=log.parent, start_new_session=True
        )
    try:
        _wait_until_healthy(process, f"http://127.0.0.1:{port}/health", log)
        yield Served(f"http://127.0.0.1:{port}/v1", name, folder, adapters, process.pid)
    finally:
        _end(process)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    tail = log.read_text(encoding="utf-8", errors="replace")[-4000:]
    raise AssertionError(f"vllm serve did not come up (exit code {process.poll()}):\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and its engine, which are one process group."""
    for sign, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
