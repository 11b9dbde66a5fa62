"""What it costs to serve a version as an adapter with vLLM, and what it saves; answers are compared by the tests.

    .venv-vllm/bin/python -m scripts.bench_adapters [--prompts 100] [--samples 4] [--model embedded:student] [--rank 16]

Four times the same prompts of the embedded pool are sampled, and the time to open the version is taken (its probe by
transformers included):

    base                     on an engine without room for adapters
    base, room for adapters  on one with room
    adapter                  on the same engine: an adapter of random weights in all layers
    merged                   the same version as a whole, on a fresh engine without room

The last line is JSON: seconds to open, and tokens per second, of each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from loop.adapters.models import resolve_version, source_folder
from loop.adapters.sources import read_source
from loop.adapters.vllm_engine import VllmSamplers
from loop.config import Pool, Sampling
from loop.engine_settings import VllmEngine
from loop.ports import SamplingJob
from loop.training_settings import Lora
from scripts.random_adapter import write_adapted
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.records import Prompt, Role, Version

ENGINE = VllmEngine(max_model_len=512, memory_share=0.1)
SETTINGS = Sampling(temperature=1.0, max_tokens=32, batch=64)
SIZE = 0.02
"""Of the adapter's weights: the model still ends its responses, so that rates compare."""


def main() -> None:
    """Print the table and the JSON line."""
    options = _options()
    with TemporaryDirectory() as scratch:
        rows = dict(_rows(options, Path(scratch)))
    print(f"{'served':>24} {'open s':>8} {'tokens/s':>9}")
    for name, (seconds, rate) in rows.items():
        print(f"{name:>24} {seconds:8.2f} {rate:9.0f}")
    print(
        json.dumps({name: {"open_s": round(row[0], 2), "tokens_per_s": round(row[1], 1)} for name, row in rows.items()})
    )


def _rows(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, tuple[float, float]]]:
    blobs, checkpoints = FileBlobs(folder / "blobs"), FileCheckpoints(folder / "checkpoints")
    pool = read_source(Pool(size=options.prompts, easy_vqa_share=0.0), blobs)
    job = SamplingJob([entry for entry in pool if isinstance(entry, Prompt)], options.samples, 0, SETTINGS)
    base = resolve_version(options.model, Role.STUDENT, checkpoints)
    lora, place = Lora(rank=options.rank), source_folder(base.source, checkpoints)
    written = write_adapted(folder / "adapted", place, base.id, lora, seed=0, size=SIZE)
    adapted = resolve_version(str(written), Role.STUDENT, checkpoints)
    plan = (
        (0, {"base": base}),
        (options.rank, {"base, room for adapters": base, "adapter": adapted}),
        (0, {"merged": adapted}),
    )
    for rank, versions in plan:
        with closing(VllmSamplers(ENGINE, blobs, checkpoints, dtype=options.dtype, lora_rank=rank)) as samplers:
            for name, version in versions.items():
                yield name, _timed(samplers, version, job)


def _timed(samplers: VllmSamplers, version: Version, job: SamplingJob) -> tuple[float, float]:
    """Seconds to open a version, and tokens per second."""
    began = time.perf_counter()
    sampler = samplers.open(version)
    opened = time.perf_counter() - began
    for _ in sampler.sample(SamplingJob(job.prompts[:4], 1, 1, SETTINGS)):  # an engine's first batch is slower
        pass
    began = time.perf_counter()
    tokens = sum(one.num_tokens for chunk in sampler.sample(job) for one in chunk)
    return opened, tokens / (time.perf_counter() - began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--model", default="embedded:student")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args()


if __name__ == "__main__":
    main()
