"""Proof that an engine serves the version that it claims: it must score a probe as transformers does.

    the version's folder -> transformers, on the CPU -> a response to the probe prompt, with its log-probabilities
    engine, started or woken -> log-probabilities of that response -> near enough, or ModelUnusable

The probe shows a picture where the model reads pictures, so lost images and stale vision weights show too. What cannot
show is another version whose log-probabilities lie within the tolerance: whether that one or this one answers makes
hardly a difference then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from loop.adapters.aside import Aside
from loop.adapters.decoding import Wanted, draw
from loop.adapters.distilling import Responses, response_logits
from loop.adapters.encoding import Encoder
from loop.adapters.images import to_png
from loop.adapters.models import load
from loop.adapters.reading import Reader
from loop.ports import Blobs, Scorer
from store.errors import ModelUnusable
from store.records import Prompt

QUESTION = "What is in the picture? Answer in one sentence."
RESPONSE_TOKENS = 16
SEED = 0
TOLERANCE = {"float32": 0.01, "bfloat16": 0.15}
"""Mean difference of a token's log-probability, in nats. Two float32 implementations differ by about 1e-4; bfloat16 has
eight bits, and rounds at other places in each implementation."""


@dataclass(frozen=True)
class Probe:
    """A prompt with a response of one version and that version's log-probabilities of it."""

    prompt: Prompt
    response: tuple[int, ...]
    log_probs: NDArray[np.float32]
    """[tokens]."""
    dtype: str

    def check(self, scorer: Scorer, name: str) -> float:
        """The mean difference of the scorer's log-probabilities, in nats. ModelUnusable if it is too large."""
        difference = self._difference(scorer, name)
        if not difference <= TOLERANCE[self.dtype]:  # which NaN is not either
            raise ModelUnusable(
                f"{name}: the engine does not serve this version: its log-probabilities of a probe differ from those of"
                f" transformers by {difference:.3f} nats a token (at most {TOLERANCE[self.dtype]} are rounding);"
                ' use kind = "transformers", and report the model'
            )
        return difference

    def check_adapter(self, adapted: Scorer, base: Scorer, name: str) -> None:
        """As `check`; besides, an engine's adapter must halve the difference that the engine has without it.

        A small adapter lies within the tolerance, so that an engine which ignores it would pass. ModelUnusable if not.
        """
        with_it, without = self.check(adapted, name), self._difference(base, name)
        if not with_it <= without / 2:
            raise ModelUnusable(
                f"{name}: its adapter brings the engine's log-probabilities of a probe from {without:.6f} to"
                f" {with_it:.6f} nats a token of transformers', which does not show that it is served"
            )

    def _difference(self, scorer: Scorer, name: str) -> float:
        served = scorer.score([self.prompt], [self.response], top=0)[0].given
        if not len(served):
            raise ModelUnusable(f"{name}: a question with a picture does not fit into its context; raise max_model_len")
        return float(np.abs(served - self.log_probs).mean())


def make_probe(folder: str, blobs: Aside, *, name: str, dtype: str) -> Probe:
    """The probe of the version in a folder, computed by transformers on the CPU. ModelUnusable if it cannot be.

    Its picture is put into `blobs`, where the engine will look for it.
    """
    loaded = load(folder, name=name, device="cpu", dtype=getattr(torch, dtype))
    prompt = _prompt(loaded, blobs)
    batch = Encoder(blobs).encode(loaded, [prompt])
    (drawn,) = draw(loaded, batch, [Wanted(prompt.id, [SEED])], temperature=1.0, max_tokens=RESPONSE_TOKENS)[0]
    with torch.inference_mode():
        responses = Responses.of([drawn], loaded.device)
        logs = response_logits(loaded.model, batch, responses).log_softmax(-1)
    own = logs.gather(-1, responses.ids[0].unsqueeze(-1))[:, 0]
    return Probe(prompt, drawn.tokens, own.numpy(), dtype)


def _prompt(reader: Reader, blobs: Blobs) -> Prompt:
    """The same question for every model, with a picture if it reads any."""
    return Prompt.make(QUESTION, [blobs.put(_picture())] if reader.sees_images else [])


def _picture() -> bytes:
    """Coloured stripes under a dark square."""
    pixels = np.zeros((96, 96, 3), dtype=np.uint8)
    pixels[:, :, 0] = np.arange(96) * 2
    pixels[:, :, 1] = (np.arange(96)[:, None] // 12 % 2) * 200
    pixels[30:60, 50:80] = 10
    return to_png(Image.fromarray(pixels))
