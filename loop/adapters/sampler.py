"""Sampling and scoring in process with transformers.

prompts -> batches -> tokens (`decoding`) -> texts
prompts + responses -> logits of the whole vocabulary -> the likeliest tokens
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from loop.adapters.decoding import Drawn, Wanted, draw
from loop.adapters.distilling import Responses, response_logits
from loop.adapters.models import Loaded, Models
from loop.ports import SamplingJob, TokenScores
from store.records import Prompt, Sample, Version, derive_seed

SCORING_BATCH = 8
"""Responses that are scored at once: their logits are [responses, tokens, vocabulary] in float32."""


class TransformersSamplers:
    """Opens samplers on shared models."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def open(self, version: Version) -> TransformersSampler:
        """A sampler of one version. ModelUnusable if it cannot be loaded."""
        return TransformersSampler(self._models, self._models.get(version))


class TransformersSampler:
    """Draws responses of one model version, batch by batch."""

    def __init__(self, models: Models, loaded: Loaded) -> None:
        self._models = models
        self._loaded = loaded

    def sample(self, job: SamplingJob) -> Iterator[list[Sample]]:
        """Yield the samples of `settings.batch` prompts at a time, in the order of the prompts.

        Each sample draws from the seed (seed, prompt id, index); a schema is ignored. ModelUnusable if the model's
        logits are not numbers; UnreadableImage if an image cannot be decoded.
        """
        for start in range(0, len(job.prompts), job.settings.batch):
            yield self._draw(job.prompts[start : start + job.settings.batch], job)

    @torch.inference_mode()
    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]], *, top: int) -> list[TokenScores]:
        """Log-probabilities of each response's tokens and of the `top` likeliest ones, in float32."""
        scores: list[TokenScores] = []
        for start in range(0, len(prompts), SCORING_BATCH):
            stop = start + SCORING_BATCH
            batch = self._models.encode(self._loaded, prompts[start:stop])
            given = Responses.of([Drawn(tuple(own), True) for own in responses[start:stop]], self._loaded.device)
            logs = response_logits(self._loaded.model, batch, given).log_softmax(-1)
            best = logs.topk(top)
            own = logs.gather(-1, given.ids[given.mask.bool()].unsqueeze(-1)).squeeze(-1)
            lengths = given.mask.sum(-1).tolist()
            parts = (part.cpu().split(lengths) for part in (own, best.indices, best.values))
            scores += [TokenScores(*(part.numpy() for part in one)) for one in zip(*parts, strict=True)]
        return scores

    def _draw(self, prompts: Sequence[Prompt], job: SamplingJob) -> list[Sample]:
        settings = job.settings
        wanted = [
            Wanted(prompt.id, [derive_seed(job.seed, prompt.id, index) for index in job.indices]) for prompt in prompts
        ]
        batch = self._models.encode(self._loaded, prompts)
        drawn = draw(self._loaded, batch, wanted, temperature=settings.temperature, max_tokens=settings.max_tokens)
        texts = iter(
            self._loaded.tokenizer.batch_decode([one.tokens for own in drawn for one in own], skip_special_tokens=True)
        )
        return [
            Sample(prompt.id, index, own_seed, next(texts).strip(), len(one.tokens), truncated=not one.ended)
            for prompt, asked, own in zip(prompts, wanted, drawn, strict=True)
            for index, own_seed, one in zip(job.indices, asked.seeds, own, strict=True)
        ]
