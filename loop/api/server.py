"""Runs the API in a thread of its own, beside the work."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from loop.service_settings import LOOPBACK, Serving
from store.errors import DeltaloopError, UsageError

if TYPE_CHECKING:
    from loop.bootstrap import Home
    from loop.service import JobState

SHORTEST_TOKEN = 16
CONNECTIONS = 64
END_S = 2


class Working(Protocol):
    """What the API tells of whoever works in this process."""

    def jobs(self) -> list[JobState]:
        """What is done when."""
        ...

    def takes_work(self) -> bool:
        """Whether it does anything."""
        ...


class Looking:
    """Nobody works here: the pages alone are shown."""

    def jobs(self) -> list[JobState]:
        """None."""
        return []

    def takes_work(self) -> bool:
        """No."""
        return False


@contextmanager
def answering(home: Home, service: Working, settings: Serving, token: str | None) -> Iterator[str]:
    """Within, the API answers; yields its URL.

    UsageError if it would listen to other machines without a token; DeltaloopError if it cannot listen.
    """
    import uvicorn

    from loop.api.app import create_app
    from loop.api.guard import Guard

    check_token(settings.host, token)
    listening = _listen(settings.host, settings.port)
    hosts = LOOPBACK if settings.host in LOOPBACK else None
    app = Guard(create_app(home, service.jobs, service.takes_work), token, hosts)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=END_S,
            ws="none",
        )
    )
    thread = threading.Thread(target=server.run, args=([listening],), name="api", daemon=True)
    thread.start()
    host, port = listening.getsockname()[:2]
    try:
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(2 * END_S)
        listening.close()


def check_token(host: str, token: str | None) -> None:
    """UsageError if an API there would be open to whoever can reach it."""
    if token is None and host not in LOOPBACK:
        raise UsageError(
            f"service.host = {host!r} is open to other machines: set a token in DELTALOOP_TOKEN, or listen on 127.0.0.1"
        )
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(
            f"DELTALOOP_TOKEN is shorter than {SHORTEST_TOKEN} characters, or not plain ASCII; make one, e.g. with"
            " python -c 'import secrets; print(secrets.token_urlsafe())'"
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        raise DeltaloopError(f"service.host = {host!r}, service.port = {port}: {error}; name others") from None
