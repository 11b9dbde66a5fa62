"""Records many rollouts of the embedded pair, on which scoring policies can be replayed with a known truth.

    python -m scripts.record_rollouts [--prompts 1000] [--samples 64] [--later DIR ...] [--out FILE]

--later names the students of later rounds, in order: folders that `deltaloop student NAME DIR --round N` wrote. The
file holds int16 class codes `student` [rounds, prompts, samples] and `teacher` [prompts, samples], equal within a
prompt where answers are the same, and `embeddings` [prompts, d] in float16. The samples are kept in a home of their
own: it resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from loop.bootstrap import make_ports, open_home
from loop.config import load_settings
from loop.embeddings import embed
from loop.pool import fill_pool
from loop.progress import LineProgress
from loop.rollouts import classes_of, sample_side
from loop.work import Work
from policies.divergence import class_codes

CAMPAIGN = Path(__file__).parent / "campaigns" / "embedded.toml"
ASSET = Path(__file__).parents[1] / "tests" / "assets" / "embedded_rollouts.npz"


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill a pool, sample both models on it, write the codes."""
    options = _parse(arguments)
    settings = load_settings(CAMPAIGN, [f"pool.size={options.prompts}", 'pool.name="recorded"', 'name="recorded"'])
    opened = open_home(options.home, None)
    try:
        ports, student, teacher = make_ports(opened, settings, LineProgress())
        for version in (student, teacher):
            ports.ledger.add_version(version)
        work = Work(settings.name, 1, settings, teacher)
        fill_pool(work, ports)
        prompts = ports.ledger.pool(settings.pool.name)
        ids = [prompt.id for prompt in prompts]
        wanted = dict.fromkeys(ids, options.samples)
        versions = [teacher, student]
        for folder in options.later:
            later = settings.model_copy(update={"models": settings.models.model_copy(update={"student": str(folder)})})
            versions.append(make_ports(opened, later, LineProgress())[1])
            ports.ledger.add_version(versions[-1])
        sides = [
            sample_side(replace(work, round=max(index, 1)), version, wanted, prompts, ports, stage="record")
            for index, version in enumerate(versions)
        ]
        codes = class_codes(*(classes_of(side, ids) for side in sides))
        vectors = embed(prompts, ports, batch=settings.embedding.batch, key=work.key("embed"))
    finally:
        opened.close()
    taught, *tried = (side.astype(np.int16) for side in codes)
    np.savez_compressed(options.out, student=np.stack(tried), teacher=taught, embeddings=vectors.astype(np.float16))
    print(f"{options.out}: {len(ids)} prompts, {options.samples} samples a side, {len(tried)} student(s)")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--later", type=Path, nargs="*", default=[], metavar="DIR")
    parser.add_argument("--out", type=Path, default=ASSET)
    parser.add_argument("--home", type=Path, default=Path("mlruns/recorded"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
