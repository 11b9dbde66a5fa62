"""The generator: a model that is told what to write. What it replies is kept like any other rollout.

    instructions (prompts of origin `instruction`) -> plan (recorded) -> sample -> ledger -> one reply per instruction

Nothing is asked twice: a resumed stage makes the same instructions and finds their replies in the ledger. Each round
draws samples of its own (`STRIDE`), so a seed that was consumed in one round is not replayed in the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loop.config import Sampling
from loop.ports import Ledger, Progress, Samplers, Spends
from loop.rollouts import Drawing, collect
from loop.work import Work
from store.records import Prompt, Rollout, Spent, Version, digest_of

STRIDE = 10_000
"""Samples of one instruction that a round may draw; round r draws from index r * STRIDE on."""


@dataclass(frozen=True)
class Replies:
    """What a generator replied, and what it cost."""

    rollouts: tuple[Rollout, ...]
    """One per instruction, in their order."""
    spent: Spent


@dataclass(frozen=True)
class Generator:
    """A model version that writes, with what recorded sampling needs."""

    version: Version
    ledger: Ledger
    samplers: Samplers
    progress: Progress
    spending: Spends

    def ask(self, work: Work, stage: str, instructions: Sequence[Prompt], schema: Mapping[str, object]) -> Replies:
        """A reply to each instruction; equal instructions get different samples.

        An engine that can, holds the replies to the schema; nobody may rely on it. ValueError if one instruction is
        asked more than `STRIDE` times.
        """
        wanted = Counter(prompt.id for prompt in instructions)
        if wanted and max(wanted.values()) > STRIDE:
            raise ValueError(f"one instruction is asked {max(wanted.values())} times, more than {STRIDE}; ask for less")
        self.ledger.add_version(self.version)
        self.ledger.add_prompts(instructions)
        settings = work.settings.generation
        drawing = Drawing(
            self.version,
            wanted,
            Sampling(temperature=settings.temperature, max_tokens=settings.max_tokens, batch=settings.batch),
            None,
            work.seed("generate", self.version.id),
            # Edited templates make other instructions: their plan is another.
            work.key(stage, "generate", digest_of(sorted(prompt.id for prompt in instructions))[:16]),
            first=work.round * STRIDE,
            schema=schema,
        )
        collected = collect(drawing, instructions, self)
        unused = {id: iter(rows) for id, rows in collected.rollouts.items()}
        rollouts = tuple(next(unused[prompt.id]) for prompt in instructions)
        return Replies(rollouts, Spent(generator_samples=collected.samples, generator_tokens=collected.tokens))
