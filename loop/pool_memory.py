"""Whether a pool fits into memory, foreseen before it is loaded.

    ledger     prompts, their characters, dimension of their vectors \
    settings   samples of both sides that scoring reads               -> needed <= allowed, or PoolTooLarge
    limits.memory_mb, or else the memory of the machine              /

At its most a run holds the prompts, the index and the vectors that are compared with it, and every sample of both sides
without its text. `python -m scripts.bench_pool_memory` measures what the constants say. Models come on top.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from loop.config import CampaignSettings, Limits
from loop.memory import gib, hidden_size
from loop.paths import model_folder
from loop.ports import Ledger
from store.errors import PoolTooLarge

PROMPT_BYTES = 2_000
"""A prompt with its score, without its characters."""
CHARACTER_BYTES = 2
VECTOR_COPIES = 4
"""The index, the vectors that it is compared with or made of, and a stage's matrix; of four bytes a value."""
SAMPLE_BYTES = 250
"""A rollout without its text."""
MB = 1_000_000
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux tells what a container may take, in its two versions."""


@dataclass(frozen=True)
class Pool:
    """What of a pool takes memory."""

    prompts: int
    characters: int
    """Of all questions and attributes."""
    dimension: int
    """Of a vector; 0 if nothing tells it yet."""
    samples: int
    """Of a prompt, both sides together."""

    @property
    def num_bytes(self) -> int:
        """What holding it takes at its most."""
        vector = 4 * self.dimension * VECTOR_COPIES
        return self.prompts * (PROMPT_BYTES + vector + self.samples * SAMPLE_BYTES) + CHARACTER_BYTES * self.characters


def held_pool(settings: CampaignSettings, ledger: Ledger, embedder: str | None = None) -> Pool:
    """The campaign's pool as the ledger has it now; `embedder` is the identity of what made its vectors."""
    prompts, characters = ledger.pool_size(settings.pool.name)
    known = ledger.dimension(embedder) if embedder is not None else None
    return Pool(prompts, characters, known or dimension_of(settings), samples_of(settings))


def samples_of(settings: CampaignSettings) -> int:
    """Samples of a prompt that scoring reads, at most."""
    return settings.scoring.teacher_samples + settings.scoring.student_samples


def dimension_of(settings: CampaignSettings) -> int:
    """Of the vectors that the campaign's own encoder makes (a picture's half and a question's); 0 if nothing tells."""
    role = settings.embedding.model
    if role not in ("student", "teacher"):
        return 0
    return 2 * (hidden_size(model_folder(getattr(settings.models, role))) or 0)


def allowed_bytes(limits: Limits) -> int:
    """What holding a pool may take."""
    return limits.memory_mb * MB or machine_bytes()


def machine_bytes() -> int:
    """The memory of this machine, or of the container."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in CGROUP_LIMITS:
        try:
            found = min(found, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # another version, or `max`: no limit
            continue
    return found


def fit_line(pool: Pool, limits: Limits) -> str:
    """How the two numbers compare, for people."""
    whose = f"limits.memory_mb = {limits.memory_mb}" if limits.memory_mb else "this machine's memory"
    return f"{pool.prompts:,} prompts take {gib(pool.num_bytes)}, of {gib(allowed_bytes(limits))} ({whose})"


def check_fits(settings: CampaignSettings, ledger: Ledger, embedder: str) -> None:
    """PoolTooLarge if holding the campaign's pool would take more memory than it may."""
    pool = held_pool(settings, ledger, embedder)
    if pool.num_bytes > allowed_bytes(settings.limits):
        raise PoolTooLarge(
            f"pool `{settings.pool.name}` does not fit into memory: {fit_line(pool, settings.limits)}; {REMEDY}"
        )


REMEDY = "name a smaller pool, lower scoring.teacher_samples or student_samples, or raise limits.memory_mb"
