"""Sampling by an OpenAI-compatible server: vLLM `serve`, SGLang, a hosted API.

    prompts x indices -> requests, at most `concurrency` in flight -> samples, each handed on as it comes

One request draws one sample, with the seed of that sample. One request with `n` choices would send an image once
instead of n times, but its seeds are the server's (vLLM adds 0, 1, 2, ... to the request's), so that a sample could not
be drawn again alone, and a lost request would lose n samples. What is sent again, the server has cached: see
docs/engines.md for what it costs.

The event loop runs while the caller waits for the next sample, and only then: there is no thread, and Ctrl-C reaches
the requests, which are cancelled, and then the caller.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from loop.adapters.server_client import FIRST_REST, Refused, RequestFailed, ServerClient
from loop.adapters.server_scorer import score_responses
from loop.adapters.server_wire import (
    CONTEXT_IS_FULL,
    Body,
    Response,
    blank_message,
    read_response,
    sampling_body,
    user_message,
)
from loop.adapters.side_by_side import side_by_side
from loop.config import Sampling
from loop.engine_settings import ServerEngine
from loop.ports import Blobs, SamplingJob, TokenScores
from store.errors import ModelUnusable, ServerUnavailable
from store.records import Prompt, Role, Sample, Version, derive_seed, digest_of

log = logging.getLogger(__name__)

CHAT = "chat/completions"
NOTHING = Response("", 0, truncated=False)
NO_ROOM = Response("", 0, truncated=True)


def server_version(source: str, role: Role) -> Version:
    """The version of a model behind a server: its name is all that is known of it. Where it is served is no part."""
    return Version(digest_of({"server": source}), role, source)


def check_endpoint(engine: ServerEngine, source: str, url: str) -> None:
    """ServerUnavailable if an endpoint does not answer; ModelUnusable if it refuses the key, or lacks the model."""

    async def check() -> None:
        async with ServerClient(engine, engine.served_name or source) as client:
            await client.check(url)

    asyncio.run(check())


@dataclass(frozen=True)
class _Wanted:
    """One sample to be drawn."""

    prompt: Prompt
    message: Body
    index: int
    seed: int


class ServerSamplers:
    """Opens samplers on the servers of one engine."""

    def __init__(self, engine: ServerEngine, blobs: Blobs) -> None:
        self._engine = engine
        self._blobs = blobs

    def open(self, version: Version) -> ServerSampler:
        """A sampler of one version; whether the server has it, the first request will tell."""
        return ServerSampler(self._engine, self._engine.served_name or version.source, self._blobs)


class ServerSampler:
    """Draws responses of the model that some servers serve."""

    def __init__(self, engine: ServerEngine, model: str, blobs: Blobs, *, first_rest: float = FIRST_REST) -> None:
        self._engine = engine
        self._model = model
        self._blobs = blobs
        self._first_rest = first_rest

    def sample(self, job: SamplingJob) -> Iterator[list[Sample]]:
        """Yield samples as they come, in any order.

        Each sample asks the server for the seed (seed, prompt id, index), and for structured output if there is a
        schema; what it makes of these depends on the server. A prompt that the server refuses gets empty responses:
        truncated if it leaves no room for one, else without an answer; a warning says why.

        Raises:
            ServerUnavailable: If no endpoint answers any more, at once; if some requests failed after all retries while
                others were answered, when all others are done.
            ModelUnusable: If a server refuses the key, does not have the model, or refuses any prompt.
            UnreadableImage: If an image cannot be decoded.
        """
        with asyncio.Runner() as runner:
            chunks = self._chunks(job)
            try:
                while (chunk := runner.run(_next(chunks))) is not None:
                    yield chunk
            finally:
                runner.run(chunks.aclose())

    def _wanted(self, job: SamplingJob) -> Iterator[_Wanted]:
        """One after the other: a picture is in memory while its requests are in flight."""
        for prompt in job.prompts:
            message = user_message(prompt, self._blobs)
            for index in job.indices:
                yield _Wanted(prompt, message, index, derive_seed(job.seed, prompt.id, index))

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]], *, top: int) -> list[TokenScores]:
        """Log-probabilities of each response's tokens and of the `top` likeliest ones; errors of `score_responses`."""
        pairs = list(zip(prompts, responses, strict=True))
        return asyncio.run(score_responses(self._engine, self._model, self._blobs, pairs, top=top))

    async def _chunks(self, job: SamplingJob) -> AsyncGenerator[list[Sample], None]:
        failed: list[RequestFailed] = []
        asked = 0
        async with ServerClient(self._engine, self._model, first_rest=self._first_rest) as client:
            requests = _Requests(client, job.settings, job.schema)
            draws = side_by_side((requests.draw(one) for one in self._wanted(job)), self._engine.concurrency)
            async with aclosing(draws):
                async for done in draws:
                    asked += len(done)
                    samples = [task.result() for task in done if task.exception() is None]
                    if samples:
                        yield samples
                    for error in filter(None, (task.exception() for task in done)):
                        if not isinstance(error, RequestFailed):
                            raise error
                        failed.append(error)
        if failed:
            raise ServerUnavailable(
                f"{len(failed)} of {asked} requests were not answered, while others were; the first: {failed[0]};"
                " see the server's log and run again: only these are sent again"
            )


class _Requests:
    """The requests of one call."""

    def __init__(self, client: ServerClient, settings: Sampling, schema: Mapping[str, object] | None) -> None:
        self._client = client
        self._settings = settings
        self._schema = schema
        self._answered: set[int] = set()
        """Numbers of images with which a plain prompt is answered: one that is refused is then itself at fault."""

    async def draw(self, wanted: _Wanted) -> Sample:
        """One sample. RequestFailed only if the server answered other requests meanwhile."""
        begun = time.monotonic()
        try:
            response = await self._post(wanted.message, wanted.seed)
        except Refused as error:
            response = await self._refused(wanted, error)
        except RequestFailed as error:
            if self._client.last_success < begun:
                raise ServerUnavailable(f"{error}; no other was answered meanwhile; see the server's log") from None
            raise
        return Sample(
            wanted.prompt.id, wanted.index, wanted.seed, response.text, response.num_tokens, response.truncated
        )

    async def _refused(self, wanted: _Wanted, error: Refused) -> Response:
        """An empty response, if it is the prompt's own fault: one bad prompt must not end a round."""
        num_images = len(wanted.prompt.images)
        if num_images not in self._answered:
            try:
                await self._post(blank_message(num_images), wanted.seed)
            except Refused as other:
                raise ModelUnusable(
                    f"the server refuses every prompt with {num_images} image(s): {other};"
                    " start it with other options, or change the settings of the sampling"
                ) from None
            self._answered.add(num_images)
        log.warning("prompt %s counts as unanswered: the server refuses it: %s", wanted.prompt.id, error)
        return NO_ROOM if CONTEXT_IS_FULL.search(str(error)) else NOTHING

    async def _post(self, message: Body, seed: int) -> Response:
        settings = self._settings
        body = sampling_body(
            [message],
            seed=seed,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            schema=self._schema,
        )
        return await self._client.post(CHAT, body, read_response)


async def _next(chunks: AsyncIterator[list[Sample]]) -> list[Sample] | None:
    return await anext(chunks, None)
