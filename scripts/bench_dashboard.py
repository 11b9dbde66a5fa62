"""Server time of every page of the dashboard: `python -m scripts.bench_dashboard [--backend sqlite|postgresql]`.

Fills a ledger with a round that scored 200,000 prompts by 2,000,000 rollouts, aimed at 64 regions and chose 20,000
prompts, then asks the application for each page, `--times` times after one that warms it up. Requests go through the
application in this process, without a network: the time is that of routing, database, charts and templates. `first` is
the request that warms up: of a page that reads a stage's output, it reads it from disk.

A page should answer within 300 ms (p95). Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from loop.api.app import create_app
from loop.api.guard import Guard
from loop.bootstrap import Home, open_home
from loop.service_settings import LOOPBACK
from scripts.bench_store import SIDES, rollouts
from store.records import (
    Aims,
    Candidate,
    Fate,
    Origin,
    Posterior,
    Prompt,
    Region,
    Score,
    Scores,
    Spent,
    Status,
    TrainingSet,
)

BATCH = 10_000
REGIONS = 64
DIMENSIONS = 64
EMBEDDER = "bench"
CAMPAIGN, ROUND = "bench", 1
HERE = f"/dashboard/campaigns/{CAMPAIGN}"
MONTHS = [f"month{number}" for number in range(12)]


def prompts_of(num: int) -> list[Prompt]:
    """Distinct questions: some words are in all of them, some in a few."""
    return [
        Prompt.make(f"What is the value of {MONTHS[number % 12]} in chart {number}, beside item{number % 4096}?")
        for number in range(num)
    ]


def fill(home: Home, num_prompts: int, num_rollouts: int) -> list[Prompt]:
    """One completed round of a campaign; returns its prompts in order of id."""
    random = np.random.default_rng(0)
    ledger = home.ledger
    for side in SIDES:
        ledger.add_version(side)
    prompts = sorted(prompts_of(num_prompts), key=lambda prompt: prompt.id)
    for batch in _batches(prompts):
        ledger.add_prompts(batch, pool=CAMPAIGN)
    for rows in rollouts(prompts, num_rollouts):
        ledger.add_rollouts(rows)
    ledger.start_campaign(CAMPAIGN, seed=0, pool=CAMPAIGN, identity=CAMPAIGN)
    ledger.start_round(CAMPAIGN, ROUND, settings="{}", commit="", dirty=False)
    scores = [_score(prompt, float(delta)) for prompt, delta in zip(prompts, _deltas(random, num_prompts), strict=True)]
    ledger.add_scores(CAMPAIGN, ROUND, scores)
    _end(home, "score", Scores(SIDES[1].id, tuple(scores), Spent(student_samples=num_rollouts // 2)))
    _end(home, "target", _aimed(home, prompts, random))
    ledger.add_candidates(CAMPAIGN, ROUND, _candidates(prompts))
    chosen = tuple(prompt.id for prompt in prompts[:: max(1, num_prompts // 20_000) * 2])
    _end(home, "select", TrainingSet(chosen, (1.0,) * len(chosen), "0" * 64, 1.0))
    ledger.end_round(CAMPAIGN, ROUND, Status.COMPLETED)
    return prompts


def addresses(prompt: Prompt) -> dict[str, str]:
    """A page of each kind, and the ways in which the list of prompts is asked for."""
    here = f"{HERE}/rounds/{ROUND}"
    return {
        "campaigns": "/dashboard",
        "campaign": HERE,
        "regions": f"{here}/regions",
        "region": f"{here}/regions/3",
        "prompts": f"{here}/prompts",
        "prompts, a page in the middle": f"{here}/prompts?after=8",
        "filtered": f"{here}/prompts?answers=differ&min_delta=2&origin=seed",
        "filtered, no hits": f"{here}/prompts?min_delta=1000",
        "origin without hits": f"{here}/prompts?origin=skill_guided",
        "search, in every question": f"{here}/prompts?words=value",
        "search, few hits": f"{here}/prompts?words=item77+month5",
        "search, no hits": f"{here}/prompts?words=nowhere",
        "search, filtered, no hits": f"{here}/prompts?words=month3&min_delta=1000",
        "prompt": f"/dashboard/prompts/{prompt.id}",
        "candidates": f"{here}/candidates",
        "candidates by reason": f"{here}/candidates?fate=duplicate",
    }


def measure(backend: str, num_prompts: int, num_rollouts: int, times: int) -> dict[str, Any]:
    """The p95 of each page in milliseconds; prints p50, p95 and the first."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deltaloop-bench-")))
        url = None
        if backend == "postgresql":
            from scripts.postgresql_server import running_server

            url = stack.enter_context(running_server()).new_database()
        home = stack.enter_context(closing(open_home(folder, url)))
        filling = -time.perf_counter()
        prompts = fill(home, num_prompts, num_rollouts)
        print(f"filled in {filling + time.perf_counter():.0f} s", flush=True)
        app = Guard(create_app(home, list, lambda: True), None, LOOPBACK)
        client = stack.enter_context(TestClient(app, base_url="http://localhost"))
        p95: dict[str, int] = {}
        print(f"{'page':32}{'p50 ms':>8}{'p95 ms':>8}{'p95 CPU':>9}{'first':>8}{'kB':>7}")
        for name, address in addresses(prompts[num_prompts // 3]).items():
            first, _, size = _asked(client, address)
            walls, cpus, _ = zip(*(_asked(client, address) for _ in range(times)), strict=True)
            p95[name] = round(float(np.percentile(walls, 95)))
            row = (np.median(walls), p95[name], np.percentile(cpus, 95), first)
            print(f"{name:32}{row[0]:8.0f}{row[1]:8.0f}{row[2]:9.0f}{row[3]:8.0f}{size / 1000:7.0f}", flush=True)
    return {"p95_ms": p95, "backend": backend, "prompts": num_prompts, "rollouts": num_rollouts, "times": times}


def _asked(client: TestClient, address: str) -> tuple[float, float, int]:
    """Milliseconds on the clock, and of CPU in this process, and bytes, of one page."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = client.get(address)
    spent = 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)
    answer.raise_for_status()
    return *spent, len(answer.content)


def _batches(prompts: Sequence[Prompt]) -> Iterator[Sequence[Prompt]]:
    return (prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH))


def _deltas(random: np.random.Generator, num: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Seven of ten prompts are zero-delta."""
    return np.where(random.random(num) < 0.7, 0.0, random.gamma(2.0, 0.6, num))


def _score(prompt: Prompt, delta: float) -> Score:
    return Score(
        prompt.id, SIDES[1].id, SIDES[0].id, delta, 0.5 * delta, 1.5 * delta, 5, 5, "plug_in", {"smoothing": 0.05},
        zero_delta=delta == 0.0, consistency=0.9, student_agreement=0.4,
    )  # fmt: skip


def _aimed(home: Home, prompts: Sequence[Prompt], random: np.random.Generator) -> Aims:
    """Regions with centres, to which the prompts lie near, in an embedding that the ledger holds."""
    centres = random.normal(size=(REGIONS, DIMENSIONS)).astype(np.float32)
    held = random.integers(REGIONS, size=len(prompts))
    for start in range(0, len(prompts), BATCH):
        part = held[start : start + BATCH]
        vectors = (centres[part] + random.normal(0, 0.5, (len(part), DIMENSIONS))).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids = [prompt.id for prompt in prompts[start : start + BATCH]]
        home.ledger.add_embeddings(EMBEDDER, dict(zip(ids, vectors, strict=True)))
    regions = tuple(
        Region(index, int((held == index).sum()), Posterior(0.1 + index / REGIONS, 0.01, 100.0), ("read bars",), 10, ())
        for index in range(REGIONS)
    )
    array = io.BytesIO()
    np.save(array, centres / np.linalg.norm(centres, axis=1, keepdims=True))
    assignment = {prompt.id: int(region) for prompt, region in zip(prompts, held, strict=True)}
    centroids = home.blobs.put(array.getvalue())
    return Aims(regions, centroids, assignment, EMBEDDER)


def _candidates(prompts: Sequence[Prompt]) -> list[Candidate]:
    fates = (Fate.ZERO_DELTA, Fate.DUPLICATE, Fate.INCONSISTENT_TEACHER)
    made = (Prompt.make(f"{prompt.question} And why?", (), Origin.SEED_GUIDED, prompt.id) for prompt in prompts)
    return [Candidate(prompt, fates[place % 3], "", 0, 0.0, 1.0) for place, prompt in zip(range(20_000), made)]  # noqa: B905 - the shorter one ends it


def _end(home: Home, stage: str, output: object) -> None:
    from pydantic import TypeAdapter

    dumped: Callable[[Any], bytes] = TypeAdapter(type(output)).dump_json
    home.ledger.start_stage(CAMPAIGN, ROUND, stage, {})
    digest = home.blobs.put(dumped(output))
    home.ledger.end_stage(CAMPAIGN, ROUND, stage, Status.COMPLETED, seconds=1.0, output=digest)


def main() -> None:
    """Measure one kind of ledger."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backend", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--prompts", type=int, default=200_000)
    parser.add_argument("--rollouts", type=int, default=2_000_000)
    parser.add_argument("--times", type=int, default=40)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.backend, chosen.prompts, chosen.rollouts, chosen.times)))


if __name__ == "__main__":
    main()
