"""Proof that pictures reach the model behind a server: another picture, another distribution of answers.

A server with the wrong chat template, or in front of a text-only model, may take pictures and answer without them. So:
two pictures of one colour each, the same question, `SAMPLES` responses each, and the exact permutation test of whether
the two distributions differ. Of servers that drop pictures, at most one in a hundred passes.
"""

from __future__ import annotations

from PIL import Image

from loop.adapters.aside import Aside
from loop.adapters.images import to_png
from loop.adapters.server import ServerSampler
from loop.config import Sampling
from loop.engine_settings import ServerEngine
from loop.ports import SamplingJob
from policies.divergence import score_all
from policies.extraction import without_thinking
from store.records import Prompt

QUESTION = "Which colour fills this picture: red or blue? Answer with one word."
COLOURS = ("red", "blue")
SAMPLES = 12
LEVEL = 0.01
ANSWER_CHARACTERS = 40


def shows_images(engine: ServerEngine, source: str, *, max_tokens: int) -> bool:
    """Whether the answers of the model depend on the picture. Errors as of `ServerSampler.sample`.

    `max_tokens` must leave room for thinking, and fit the server.
    """
    aside = Aside()
    pictures = [aside.put(to_png(Image.new("RGB", (96, 96), colour))) for colour in COLOURS]
    prompts = [Prompt.make(QUESTION, (picture,)) for picture in pictures]
    settings = Sampling(temperature=1.0, max_tokens=max_tokens)
    sampler = ServerSampler(engine, engine.served_name or source, aside)
    answers: dict[str, list[str]] = {prompt.id: [] for prompt in prompts}
    for chunk in sampler.sample(SamplingJob(prompts, SAMPLES, 0, settings)):
        for one in chunk:
            answers[one.prompt_id].append(without_thinking(one.text).strip().lower()[:ANSWER_CHARACTERS])
    first, second = ([own] for own in answers.values())
    (score,) = score_all(["probe"], COLOURS, first, second, smoothing=0.05, false_share=LEVEL)
    return bool(score.differs)
