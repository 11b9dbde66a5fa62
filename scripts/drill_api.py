"""Drill of the HTTP API: `python -m scripts.drill_api [--requests 2000] [--seed 0]`.

A real `deltaloop serve`, with a token, on the smallest campaign; schemathesis makes requests out of its OpenAPI schema,
half of them about what is there. None may be answered with a 5xx, and the service must answer afterwards.

Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import SkipTest

import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

ROOT = Path(__file__).resolve().parents[1]
SMOKE = ROOT / "scripts" / "campaigns" / "smoke.toml"
SMALLEST = ["rounds=0", "pool.size=12", "evaluation.questions=2", 'evaluation.main=["chart"]', "evaluation.beside=[]"]
QUIET = ['service.rounds="off"', 'service.score="off"', 'service.verify="off"', 'service.backup="off"']
STOP = "/campaigns/{name}/stop"


def ask(schema: Any, requests: int, call: Callable[[Any], Any], known: dict[str, Any], drawn: int) -> Counter[int]:
    """Ask so many generated requests, spread over all operations; returns how many came to which status.

    Args:
        schema: of schemathesis.
        requests: at least one per operation.
        call: sends a case, returns a response with `status_code`.
        known: path parameters of something that is there, by name; put into every second request.
        drawn: the seed of the requests.
    """
    statuses: Counter[int] = Counter()

    def send(case: Any) -> None:
        if statuses.total() % 2 and case.operation.path != STOP:
            case.path_parameters = {name: known.get(name, value) for name, value in case.path_parameters.items()}
        statuses[call(case).status_code] += 1

    operations = [found.ok() for found in schema.get_all_operations()]
    turn = 0
    while statuses.total() < requests:
        share = max(1, (requests - statuses.total()) // (2 * len(operations)))
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                if statuses.total() < requests:
                    turn += 1
                    generated(operation.as_strategy(generation_mode=mode), share, drawn + turn, send)
    return statuses


def generated(strategy: Any, number: int, drawn: int, send: Callable[[Any], None]) -> None:
    """Send so many generated cases; fewer where there are not so many different ones."""

    @seed(drawn)
    @settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def one(case: Any) -> None:
        send(case)

    with suppress(Unsatisfiable, SkipTest):  # an operation without parameters has no wrong ones
        one()


@contextmanager
def served(home: Path, token: str) -> Iterator[str]:
    """A real service on the smallest campaign, which has run; yields its URL."""
    words = [word for change in (*SMALLEST, *QUIET, "service.port=0") for word in ("--set", change)]
    begin = [sys.executable, "-c", "from loop.cli import main; main()"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "DELTALOOP_TOKEN": token}
    subprocess.run([*begin, "run", str(SMOKE), *words, "--home", str(home)], cwd=ROOT, env=env, check=True)
    command = [*begin, "serve", str(SMOKE), *words, "--home", str(home)]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGTERM)
        if process.wait() != 0:
            raise SystemExit(f"the service ended with code {process.returncode}")


def main() -> None:
    """Run the drill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="draws the requests")
    chosen = parser.parse_args()
    token = secrets.token_urlsafe()
    allowed = {"Authorization": f"Bearer {token}"}
    with tempfile.TemporaryDirectory(prefix="deltaloop-api-") as folder, served(Path(folder) / "home", token) as url:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=allowed)
        known = {"name": "smoke", "index": 0}
        statuses = ask(schema, chosen.requests, lambda case: case.call(headers=allowed), known, chosen.seed)
        with urllib.request.urlopen(f"{url}/health") as answer:
            alive = answer.status == 200
    for status, number in sorted(statuses.items()):
        print(f"{status} {number:>6}")
    failures = sum(number for status, number in statuses.items() if status >= 500)
    found = {"requests": statuses.total(), "server_errors": failures, "alive": alive, "seed": chosen.seed}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
