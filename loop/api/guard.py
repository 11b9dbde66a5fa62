"""Who may ask, and how much they may send: a token, hosts, foreign pages, and the size of bodies.

a token is set     everything but /health and /ready needs it
on this machine    only requests that name this machine: no page in a browser can ask through another name
in a browser       what a page of another origin asks for is not done
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/health", "/ready")
"""What anybody may ask: supervisors have no token."""

MAX_BODY_BYTES = 64 * 1024
"""No endpoint takes a body; a few bytes of one do no harm."""

MAX_HEADERS_BYTES = 16 * 1024

READS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """An ASGI application that refuses, and hands on what it does not refuse."""

    def __init__(self, app: App, token: str | None, hosts: Sequence[str] | None) -> None:
        """`hosts` are the names by which this machine may be asked; None for any."""
        self._app = app
        self._token = None if token is None else token.encode()
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        held = await _body(receive)
        if held is None:
            await _refuse(send, 413, f"the body is longer than {MAX_BODY_BYTES} bytes")
            return
        await self._app(scope, _replayed(held, receive), _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[str, bytes]) -> tuple[int, str] | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS_BYTES:
            return 431, f"the headers are longer than {MAX_HEADERS_BYTES} bytes"
        host = headers.get("host", b"").decode("latin-1")
        if self._hosts is not None and _name_of(host) not in self._hosts:
            return 421, "this machine is not asked by that name"
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in READS and origin.decode("latin-1") not in _origins(host):
            return 403, "a page of another origin may not ask for this"
        if self._token is not None and scope["path"] not in OPEN and not self._holds_token(headers):
            return 401, "this needs the header `Authorization: Bearer TOKEN`"
        length = headers.get("content-length", b"0")
        if not length.isdigit() or int(length[:20]) > MAX_BODY_BYTES:
            return 413, f"the body is longer than {MAX_BODY_BYTES} bytes"
        return None

    def _holds_token(self, headers: dict[str, bytes]) -> bool:
        kind, _, given = headers.get("authorization", b"").partition(b" ")
        assert self._token is not None
        token = _password(given) if kind.lower() == b"basic" else given.strip()
        return secrets.compare_digest(token, self._token) and kind.lower() in (b"bearer", b"basic")


def _password(credentials: bytes) -> bytes:
    """Of a browser, where a person typed the token as the password; the name does not matter."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""


def _origins(host: str) -> tuple[str, str]:
    """Of pages that came from here; by way of a proxy, perhaps."""
    return f"http://{host}", f"https://{host}"


def _name_of(host: str) -> str:
    """The name in `name:port`."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if it is too long."""
    held = b""
    while True:
        message = await receive()
        held += message.get("body", b"")
        if len(held) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return held


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, and then what comes after it."""
    messages: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> MutableMapping[str, Any]:
        return messages.pop() if messages else await receive()

    return replay


def _with_headers(send: Send) -> Send:
    """Answers are for programs, and of now."""

    async def add(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
            message["headers"] = [*message.get("headers", []), *own]
        await send(message)

    return add


async def _refuse(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        # A header each: of one that names both, Chromium understands none, and asks nobody for the token.
        headers += [(b"www-authenticate", b"Bearer"), (b"www-authenticate", b'Basic realm="deltaloop"')]
    if status in (413, 431):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
