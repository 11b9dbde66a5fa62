"""How fast this machine is at a campaign's work, and how long its models answer: measured in at most a minute.

    a few prompts of the pool -> one and several samples of both models -> seconds per prompt and per token, lengths
                              -> one and a few steps of training        -> seconds per step, bytes of a checkpoint
                              -> their vectors                          -> seconds per prompt

Nothing is recorded: no sample of the probe is ever a fact. Loading the models is not part of what is measured.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loop.config import CampaignSettings
from loop.ports import Ports, Sampler, SamplingJob, TrainingJob
from policies.answers import canonical, extract
from policies.planning import Lengths, Sizes, Speed, Speeds
from store.errors import TrainingDiverged
from store.records import Prompt, Sample, Version, derive_seed

PROMPTS = 48
"""At most; the pictures and questions of a pool differ in length."""
SAMPLES = 4
"""Per prompt and model."""
SAMPLING_S, TRAINING_S = 12.0, 20.0
"""What sampling one model, and training, may take: with all other work, less than a minute."""
GROWTH = 4
"""Of the number of prompts, while there is time for more."""
STEPS = 3
"""Of training, after a first one that is not counted."""
REPLY_TOKENS = 60
"""A generator's per question that it writes, with the JSON around it; it is not probed."""
ROW_BYTES = 420
"""A rollout in the ledger, without its text: four digests, its answer, and the indices of its table."""
PROMPT_BYTES, SCORE_BYTES, ANSWER_BYTES = 800, 1100, 220
"""Rows and the records of stages."""
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Probed:
    """What a probe found."""

    lengths: Lengths
    speeds: Speeds
    sizes: Sizes
    prompts: int
    """Asked."""
    seconds: float
    """That it took, without loading the models."""


def probe(
    settings: CampaignSettings, ports: Ports, student: Version, teacher: Version, prompts: Sequence[Prompt]
) -> Probed:
    """Measure with these prompts, which should be a random part of the pool."""
    prompts, begun = prompts[:PROMPTS], time.monotonic()
    taught = _sample(settings, ports.samplers.open(teacher), prompts)
    tried = _sample(settings, ports.samplers.open(student), prompts)
    differing = _differing(settings, prompts, taught.samples, tried.samples) or list(prompts)
    train, length, checkpoint_bytes = _train(settings, ports, student, teacher, differing)
    embed, width = _embed(ports, prompts)
    texts = [len(sample.text.encode()) for sample in (*taught.samples, *tried.samples)]
    pictures = sum(len(ports.blobs.get(digest)) for prompt in prompts for digest in prompt.images) / len(prompts)
    return Probed(
        Lengths(
            teacher=_mean_tokens(taught.samples),
            student=_mean_tokens(tried.samples),
            differing=_mean_tokens([row for row in tried.samples if row.prompt_id in {one.id for one in differing}]),
            train=length,
            generator=REPLY_TOKENS * settings.generation.questions,
        ),
        Speeds(taught.speed, tried.speed, train, embed),
        Sizes(
            rollout=ROW_BYTES + sum(texts) / len(texts),
            prompt=PROMPT_BYTES + pictures + 2 * FLOAT_BYTES * width,  # in the ledger, and in the index
            score=SCORE_BYTES,
            answer=ANSWER_BYTES,
            checkpoint=checkpoint_bytes,
        ),
        len(prompts),
        time.monotonic() - begun - taught.loading_s - tried.loading_s,
    )


@dataclass(frozen=True)
class _Sampled:
    """How fast a model answers, and what it said."""

    speed: Speed
    samples: tuple[Sample, ...]
    loading_s: float


def _sample(settings: CampaignSettings, sampler: Sampler, prompts: Sequence[Prompt]) -> _Sampled:
    """Two rates from two timings: one sample a prompt, and several, of as many prompts as there is time for."""

    def draw(some: Sequence[Prompt], num: int) -> tuple[tuple[Sample, ...], float]:
        begun = time.monotonic()
        job = SamplingJob(some, num, derive_seed(settings.seed, "probe"), settings.sampling)
        drawn = tuple(sample for chunk in sampler.sample(job) for sample in chunk)
        return drawn, time.monotonic() - begun

    _, loading_s = draw(prompts[:1], 1)
    num, seconds = 1, 0.0
    while num < len(prompts) and seconds * GROWTH * (1 + SAMPLES) < SAMPLING_S:
        num = min(len(prompts), num * GROWTH)
        _, seconds = draw(prompts[:num], 1)
    once, once_s = draw(prompts[:num], 1)
    several, several_s = draw(prompts[:num], SAMPLES)
    tokens = sum(row.num_tokens for row in once), sum(row.num_tokens for row in several)
    per_token = max(0.0, several_s - once_s) / max(tokens[1] - tokens[0], 1)
    per_prompt = max(0.0, once_s - per_token * tokens[0]) / len(prompts[:num])
    return _Sampled(Speed(prompt_s=per_prompt, token_s=per_token), several, loading_s)


def _differing(
    settings: CampaignSettings, prompts: Sequence[Prompt], taught: Sequence[Sample], tried: Sequence[Sample]
) -> list[Prompt]:
    """Prompts to which the two models do not give the same answers, by the samples at hand."""

    def answers(samples: Sequence[Sample], prompt: Prompt) -> list[str]:
        texts = [row.text for row in samples if row.prompt_id == prompt.id]
        found = [extract(text, settings.sampling.answer_pattern) for text in texts]
        return sorted(
            "" if one is None else canonical(one, options=None, settings=settings.answers.settings()) for one in found
        )

    asked = {row.prompt_id for row in tried}
    return [row for row in prompts if row.id in asked and answers(taught, row) != answers(tried, row)]


def _train(
    settings: CampaignSettings, ports: Ports, student: Version, teacher: Version, prompts: Sequence[Prompt]
) -> tuple[Speed, float, float]:
    """Seconds per response that is trained on and per start of a training, its tokens, the bytes of the checkpoint."""
    batch = settings.training.batch

    def train(steps: int) -> tuple[float, float, float]:
        update = {"steps": steps, "checkpoint_steps": steps, "warmup_steps": 0, "token_budget": None}
        job = TrainingJob(
            student,
            teacher,
            prompts,
            [1.0] * len(prompts),
            settings.training.model_copy(update=update),
            derive_seed(settings.seed, "probe"),
        )
        folder = Path(tempfile.mkdtemp(dir=ports.work_dir, prefix="probe-"))
        begun = time.monotonic()
        try:
            run = ports.trainer.train(job, work_dir=folder, progress=ports.progress)
            if run.folder is None:
                raise TrainingDiverged(f"the trial training: {run.alarm}")
            size = sum(file.stat().st_size for file in run.folder.rglob("*"))
            return time.monotonic() - begun, run.train_tokens / (run.steps * batch), size
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    long_s = TRAINING_S / (2 + STEPS)
    once_s, length, size = train(1)
    if once_s > long_s:  # it may be the libraries that took so long: now they are loaded
        once_s, length, size = train(1)
    if once_s > long_s:  # no time for more: the start is counted as part of the step
        return Speed(prompt_s=once_s / batch), length, size
    more_s, length, size = train(1 + STEPS)
    step_s = max(0.0, more_s - once_s) / STEPS
    return Speed(start_s=max(0.0, once_s - step_s), prompt_s=step_s / batch), length, size


def _embed(ports: Ports, prompts: Sequence[Prompt]) -> tuple[Speed, int]:
    ports.embedder.embed(prompts[:1])
    begun = time.monotonic()
    vectors = ports.embedder.embed(prompts)
    return Speed(prompt_s=(time.monotonic() - begun) / len(prompts)), vectors.shape[1]


def _mean_tokens(samples: Sequence[Sample]) -> float:
    return sum(row.num_tokens for row in samples) / max(len(samples), 1)
