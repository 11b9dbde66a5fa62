"""Rollouts of one version for a list of prompts: planned once, sampled in batches, committed batch by batch.

    prompts -> those that the ledger lacks samples of -> plan (recorded) -> sample -> answers -> ledger

The plan is what makes a resumed stage equal to an undisturbed one: another batch shape rounds differently, so batches
are cut once over all the work and never re-formed. A batch is one transaction: it is there whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loop.config import Sampling
from loop.ports import Ports
from policies.answers import canonical, extract
from store.records import Prompt, Rollout, RolloutStatus, Sample, Version, digest_of


@dataclass(frozen=True)
class Drawing:
    """How many samples of which version are wanted, and under which name the work is planned."""

    version: Version
    num: int
    """Samples per prompt."""
    settings: Sampling
    seed: int
    key: str


@dataclass(frozen=True)
class Collected:
    """All wanted rollouts, and what this drawing had to pay for (the planned ones: the same after a resume)."""

    rollouts: Mapping[str, tuple[Rollout, ...]]
    samples: int
    tokens: int


def sampling_key(settings: Sampling) -> str:
    """What of the sampling settings is part of a rollout's identity; the batch size is not."""
    return digest_of(
        {
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
            "answer_pattern": settings.answer_pattern,
        }
    )


def collect(drawing: Drawing, prompts: Sequence[Prompt], ports: Ports) -> Collected:
    """The rollouts of `drawing.version` for these prompts; samples that the ledger holds are not drawn again."""
    ledger, sampling = ports.ledger, sampling_key(drawing.settings)
    by_id = {prompt.id: prompt for prompt in prompts}
    plan = ledger.find_plan(drawing.key)
    if plan is None:
        plan = _cut(by_id, ledger.rollouts(drawing.version.id, sampling, list(by_id)), drawing)
        ledger.add_plan(drawing.key, plan)

    planned = [(int(first), ids) for first, *ids in plan]
    held = ledger.rollouts(drawing.version.id, sampling, [id for _, ids in planned for id in ids])
    label = f"{drawing.version.role} samples"
    with ports.progress.bar(label, sum(len(ids) * (drawing.num - first) for first, ids in planned)) as advance:
        for first, ids in planned:
            if not all(len(held.get(id, ())) >= drawing.num for id in ids):
                ledger.add_rollouts(_draw(drawing, [by_id[id] for id in ids], first, ports))
            advance(len(ids) * (drawing.num - first))

    found = ledger.rollouts(drawing.version.id, sampling, list(by_id))
    rollouts = {id: rows[: drawing.num] for id, rows in found.items()}
    paid = [row for first, ids in planned for id in ids for row in rollouts[id][first:]]
    return Collected(rollouts, len(paid), sum(row.num_tokens for row in paid))


def _cut(
    prompts: Mapping[str, Prompt], held: Mapping[str, tuple[Rollout, ...]], drawing: Drawing
) -> tuple[tuple[str, ...], ...]:
    """Batches of prompts that need samples from the same index on: (first index, prompt id, ...), as text."""
    missing: dict[int, list[str]] = {}
    for id in sorted(prompts):
        first = len(held.get(id, ()))
        if first < drawing.num:
            missing.setdefault(first, []).append(id)
    size = drawing.settings.batch
    return tuple(
        (str(first), *ids[start : start + size])
        for first, ids in sorted(missing.items())
        for start in range(0, len(ids), size)
    )


def _draw(drawing: Drawing, prompts: Sequence[Prompt], first: int, ports: Ports) -> list[Rollout]:
    sampler = ports.samplers.open(drawing.version)
    chunks = sampler.sample(
        prompts, drawing.num - first, seed=drawing.seed, settings=drawing.settings, first_index=first
    )
    return [as_rollout(sample, drawing.version, drawing.settings) for chunk in chunks for sample in chunk]


def as_rollout(sample: Sample, version: Version, settings: Sampling) -> Rollout:
    """A sample with its answer. A truncated response has none: what it might have said is unknown."""
    answer = None if sample.truncated else extract(sample.text, settings.answer_pattern)
    status = RolloutStatus.ANSWERED
    if answer is None:
        status = RolloutStatus.TRUNCATED if sample.truncated else RolloutStatus.NO_ANSWER
    return Rollout(
        sample.prompt_id,
        version.id,
        sampling_key(settings),
        sample.index,
        sample.seed,
        sample.text,
        status,
        answer,
        None if answer is None else canonical(answer),
        sample.num_tokens,
    )
