"""Log-probabilities of given tokens by a vLLM server: what a teacher thinks of a student's response.

    prompt -> POST chat/completions/render -> its token ids, and which of them stand for a picture
           -> one token for each picture, then the response's tokens
           -> POST /inference/v1/generate, with the pictures -> `prompt_logprobs` -> those of the response

A chat completion would do with text alone, but text is not tokens: a sampled response need not be what its text is
tokenized to. So the server renders the prompt, and the response goes behind it as ids, its end token included. What the
server makes of it is compared with what it rendered. (It also takes back the rendered pictures, but vLLM 0.32 dies of
that where a picture's tokens have others between them, as those of Idefics3 have.) Both paths are vLLM's own, and need
`--enable-scale-out`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

from pydantic import BaseModel, Field, field_validator

from loop.adapters.prompt_logprobs import UNSCORED, token_scores
from loop.adapters.server_client import NoSuchPath, Refused, ServerClient
from loop.adapters.server_wire import CONTEXT_IS_FULL, Body, blank_message, user_message, validated
from loop.adapters.side_by_side import side_by_side
from loop.engine_settings import ServerEngine
from loop.ports import Blobs, TokenScores
from store.errors import ModelUnusable
from store.records import Prompt

log = logging.getLogger(__name__)

RENDER = "chat/completions/render"
GENERATE = "/inference/v1/generate"


class _Range(BaseModel):
    offset: int
    length: int = Field(gt=0)


class _Features(BaseModel):
    mm_placeholders: dict[str, list[_Range]]


class _Rendered(BaseModel):
    token_ids: list[int] = Field(min_length=1)
    features: _Features | None = None

    def collapsed(self) -> list[int]:
        """The ids with one token for each picture: the one that stands there most often."""
        ids = list(self.token_ids)
        ranges = [] if self.features is None else [one for own in self.features.mm_placeholders.values() for one in own]
        for place in sorted(ranges, key=lambda one: one.offset, reverse=True):
            within = slice(place.offset, place.offset + place.length)
            ids[within] = [Counter(ids[within]).most_common(1)[0][0]]
        return ids


class _LogProb(BaseModel):
    logprob: float
    rank: int | None


class _Scored(BaseModel):
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, _LogProb]]

    @field_validator("prompt_logprobs", mode="before")
    @classmethod
    def _nothing_is_before_the_first(cls, places: Any) -> Any:
        return [place or {} for place in places] if isinstance(places, list) else places


async def score_responses(
    engine: ServerEngine, model: str, blobs: Blobs, pairs: Sequence[tuple[Prompt, Sequence[int]]], *, top: int
) -> list[TokenScores]:
    """Scores of the responses (token ids) to their prompts, in their order, with the `top` likeliest tokens.

    One that leaves the server's context no room is not scored: it must not end a training.

    Raises:
        ModelUnusable: If the server cannot score, or not so many tokens.
        ServerUnavailable: If no endpoint answers any more, or some request failed after all retries.
        UnreadableImage: If an image cannot be decoded.
    """
    found: dict[int, TokenScores] = {}

    async def score(client: ServerClient, number: int) -> None:
        prompt, response = pairs[number]
        try:
            found[number] = await _score(client, user_message(prompt, blobs), response, top)
        except _TooLong as error:
            log.warning("a response to prompt %s is not scored: %s", prompt.id, error)
            found[number] = UNSCORED

    async with ServerClient(engine, model) as client:
        scores = side_by_side((score(client, number) for number in range(len(pairs))), engine.concurrency)
        async with aclosing(scores):
            async for done in scores:
                for task in done:
                    task.result()
    return [found[number] for number in range(len(pairs))]


def check_scoring(engine: ServerEngine, model: str, *, top: int, num_images: int = 0) -> None:
    """Whether a server scores a response of one token to a blank prompt; errors as of `score_responses`."""

    async def check() -> None:
        message = blank_message(num_images)
        async with ServerClient(engine, model) as client:
            with _told():
                rendered = await _render(client, message)
                await _score_rendered(client, message, rendered, rendered.token_ids[-1:], top)

    try:
        asyncio.run(check())
    except _TooLong as error:
        raise ModelUnusable(
            f"the server has no room for a blank prompt: {error}; see --max-model-len of vLLM"
        ) from None


class _TooLong(Exception):
    """A response does not fit into the server's context."""


async def _score(client: ServerClient, message: Body, response: Sequence[int], top: int) -> TokenScores:
    with _told():
        return await _score_rendered(client, message, await _render(client, message), response, top)


@contextmanager
def _told() -> Iterator[None]:
    """Says what a server lacks that answers, but does not score."""
    try:
        yield
    except NoSuchPath as error:
        raise ModelUnusable(f"{error}; to score given tokens, a server must be vLLM with --enable-scale-out") from None
    except Refused as error:
        if CONTEXT_IS_FULL.search(str(error)):
            raise _TooLong(str(error)) from None
        raise ModelUnusable(f"the server does not score a response: {error}; see --max-logprobs of vLLM") from None


async def _render(client: ServerClient, message: Body) -> _Rendered:
    return await client.post(RENDER, {"messages": [message]}, partial(validated, _Rendered))


async def _score_rendered(
    client: ServerClient, message: Body, rendered: _Rendered, response: Sequence[int], top: int
) -> TokenScores:
    sampling = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": top}  # one token is generated always
    body = {
        "token_ids": [*rendered.collapsed(), *response],
        "content_parts": _pictures(message),
        "sampling_params": sampling,
        "return_token_ids": True,
    }
    scored = await client.post(GENERATE, body, partial(validated, _Scored))
    if scored.prompt_token_ids != [*rendered.token_ids, *response]:
        raise ModelUnusable(
            "the server does not put a picture where it rendered it, so that its scores would be of another text;"
            ' score in this process (kind = "transformers" or "vllm")'
        )
    return token_scores(scored.prompt_logprobs[-len(response) :], response, top)


def _pictures(message: Body) -> list[Body]:
    content = message["content"]
    parts = [] if isinstance(content, str) else content
    return [{"type": "image_url", "url": part["image_url"]["url"]} for part in parts if part["type"] == "image_url"]
