"""Requests to the servers of one model: which endpoint is asked, how often again, and what a failure means.

    post(path, body) -> an endpoint that is awake and has proved itself -> one attempt -> the reply, read
        may pass (refused connection, 408, 429, 5xx, time-out, half a reply): the endpoint rests, another is asked
        will not pass (wrong key, unknown model): ModelUnusable
        the request's own fault (400, 413, 422): Refused

A rest belongs to the endpoint, not to the request: what one request learns by "429, come back in 30 s" holds for all,
and a server that is down is asked by one request at a time whether it is back. (Libraries for retries know single
calls; hence none here.) It lasts as long as the server says (`Retry-After`), or grows with the failures in a row, with
jitter. An endpoint that wakes up must list its model before it gets work: it may have been restarted with another.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TypeVar
from urllib.parse import urljoin

from loop.adapters.server_wire import Body, read_error, read_model_names
from loop.engine_settings import ServerEngine
from store.errors import DeltaloopError, ModelUnusable, ServerUnavailable, UsageError

log = logging.getLogger(__name__)

T = TypeVar("T")

MAY_PASS = frozenset({408, 409, 425, 429})
"""With all of 5xx, the statuses that may be another a moment later."""
REQUESTS_FAULT = frozenset({400, 413, 422})
CHECK_SECONDS = 10.0
"""Deadline for connecting, and for listing models."""
LONGEST_REST = 60.0
LONGEST_RETRY_AFTER = 600.0
"""A server that wants to be left alone for longer is asked again after this."""


FIRST_REST = 1.0
"""Seconds that an endpoint rests after its first failure; twice as long after each further one."""


class Refused(DeltaloopError, ValueError):
    """The server answers, but refuses this very request."""


class RequestFailed(ServerUnavailable):
    """A request failed as often as it may. The server may well answer others."""


class _MayPass(Exception):
    """A failure that may pass; `rest` is what the server asks for, in seconds."""

    def __init__(self, reason: str, rest: float | None = None) -> None:
        super().__init__(reason)
        self.rest = rest


class NoSuchPath(ModelUnusable):
    """The server answers 404 or 405: it does not have the model, or not this kind of request."""


@dataclass
class _Endpoint:
    url: str
    proved: bool = False
    """Whether it has listed the model since its last failure."""
    failures: int = 0
    """In a row."""
    last_failure: str = ""
    wakes: float = 0.0
    """On the monotonic clock."""
    in_flight: int = 0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


def api_key(variable: str | None) -> str | None:
    """The key in an environment variable. UsageError if one is named but not set."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"api_key_env = {variable!r}: this environment variable is not set; export it")
    return key


class ServerClient:
    """Open connections to all endpoints. Belongs to one event loop; enter it, so that it gets closed."""

    def __init__(self, engine: ServerEngine, model: str, *, first_rest: float = FIRST_REST) -> None:
        import httpx2

        self._engine = engine
        self._model = model
        self._first_rest = first_rest
        self._key = api_key(engine.api_key_env)
        self._endpoints = [_Endpoint(url) for url in engine.endpoints]
        self._http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx2.Timeout(None, connect=CHECK_SECONDS),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=engine.concurrency),
        )
        self.last_success = -1.0
        """When a request was last answered, on the monotonic clock."""

    async def __aenter__(self) -> ServerClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def post(self, path: str, body: Body, read: Callable[[bytes], T]) -> T:
        """The reply to a request, as `read` reads it; its ValueError is a failure that may pass.

        Raises:
            Refused: If the server refuses this very request.
            RequestFailed: If it failed as often as it may.
            ServerUnavailable: If no endpoint answers any more.
            ModelUnusable: If a server refuses the key, or does not have the model.
        """
        content = json.dumps({"model": self._model, **body}).encode()
        attempts = self._engine.retries + 1
        reason = ""
        for _ in range(attempts):
            endpoint = await self._awake()
            endpoint.in_flight += 1
            try:
                reply = await self._ask(endpoint.url, path, read, self._engine.timeout_seconds, content)
            except NoSuchPath as error:
                raise NoSuchPath(self._no_such_model(endpoint.url, str(error))) from None
            except _MayPass as failure:
                reason = f"{endpoint.url}: {failure}"
                self._rest(endpoint, failure)
            else:
                endpoint.failures = 0
                self.last_success = time.monotonic()
                return reply
            finally:
                endpoint.in_flight -= 1
        raise RequestFailed(f"a request failed {attempts} times, at last: {reason}")

    async def check(self, url: str) -> None:
        """Whether an endpoint answers and has the model.

        ServerUnavailable if it does not answer; ModelUnusable if it refuses the key, or does not have the model.
        """
        try:
            await self._list_models(url)
        except _MayPass as failure:
            raise ServerUnavailable(f"{url}: {failure}; start the server, or correct the endpoint") from None

    async def _awake(self) -> _Endpoint:
        """The least busy endpoint that does not rest and has proved itself; waits for one."""
        while True:
            now = time.monotonic()
            awake = [one for one in self._endpoints if one.wakes <= now]
            if awake:
                endpoint = min(awake, key=lambda one: (one.in_flight, one.failures))
                if endpoint.proved or await self._proves_itself(endpoint):
                    return endpoint
            elif all(one.failures > self._engine.retries for one in self._endpoints):
                reasons = "; ".join(f"{one.url}: {one.last_failure}" for one in self._endpoints)
                raise ServerUnavailable(
                    f"no server answers, after {self._engine.retries} retries: {reasons};"
                    " start it and run again: what came is kept"
                )
            else:
                await asyncio.sleep(min(one.wakes for one in self._endpoints) - now)

    async def _proves_itself(self, endpoint: _Endpoint) -> bool:
        """Whether an endpoint may get work; asked by one request at a time, while the others wait."""
        async with endpoint.asking:
            if not endpoint.proved and endpoint.wakes <= time.monotonic():
                try:
                    await self._list_models(endpoint.url)
                    endpoint.proved = True
                except _MayPass as failure:
                    self._rest(endpoint, failure)
            return endpoint.proved

    async def _list_models(self, url: str) -> None:
        try:
            names = await self._ask(url, "models", read_model_names, CHECK_SECONDS)
        except NoSuchPath:  # some hosted APIs list no models: the first request will tell
            return
        except Refused as error:
            raise ModelUnusable(f"{url}: {error}; correct the endpoint") from None
        if self._model not in names:
            raise ModelUnusable(self._no_such_model(url, f"it has {', '.join(names) or 'none'}"))

    def _no_such_model(self, url: str, reason: str) -> str:
        return (
            f"{url}: there is no model {self._model!r}: {reason};"
            " correct `served_name`, or the endpoint (most end with /v1)"
        )

    async def _ask(
        self, url: str, path: str, read: Callable[[bytes], T], seconds: float, content: bytes | None = None
    ) -> T:
        """One attempt: GET without content, POST with it. A path that begins with a slash is one of the host."""
        try:
            async with asyncio.timeout(seconds):
                data = await self._send(urljoin(f"{url}/", path), content)
        except TimeoutError:
            raise _MayPass(f"no whole reply within {seconds:g} s") from None
        try:
            return read(data)
        except ValueError as error:
            raise _MayPass(str(error)) from None

    async def _send(self, url: str, content: bytes | None) -> bytes:
        import httpx2

        try:
            if content is None:
                reply = await self._http.get(url)
            else:
                reply = await self._http.post(url, content=content, headers={"Content-Type": "application/json"})
        except httpx2.RequestError as error:
            raise _MayPass(f"{str(error) or type(error).__name__}") from None
        if reply.status_code == 200:
            return reply.content
        # Servers quote the key that they do not like.
        said = read_error(reply.content).replace(self._key or "\0", "***")
        said = f"HTTP {reply.status_code}: {said}"
        if reply.status_code in MAY_PASS or reply.status_code >= 500:
            raise _MayPass(said, retry_after(reply.headers.get("Retry-After")))
        if reply.status_code in (404, 405):
            raise NoSuchPath(said)
        if reply.status_code in REQUESTS_FAULT:
            raise Refused(said)
        raise ModelUnusable(f"{url}: {said}; {self._remedy(reply.status_code)}")

    def _remedy(self, status: int) -> str:
        variable = self._engine.api_key_env
        if status == 403:
            return "do as it says"
        if status != 401:
            return "correct the endpoint"
        return f"correct the key in {variable}" if variable else "name the variable that holds the key in `api_key_env`"

    def _rest(self, endpoint: _Endpoint, failure: _MayPass) -> None:
        now = time.monotonic()
        endpoint.proved = False
        endpoint.last_failure = str(failure)
        if failure.rest is None and endpoint.wakes > now:
            return  # one of many that were in flight when it failed: one failure, not many
        backoff = min(self._first_rest * 2**endpoint.failures, LONGEST_REST)
        rest = random.uniform(0.5, 1.0) * backoff if failure.rest is None else failure.rest
        if endpoint.wakes <= now:
            endpoint.failures += 1
        endpoint.wakes = max(endpoint.wakes, now + rest)
        log.info("%s rests for %.1f s: %s", endpoint.url, rest, failure)


def retry_after(value: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date. None for what is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER) if seconds == seconds else None
