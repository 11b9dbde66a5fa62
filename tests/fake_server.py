"""A scriptable OpenAI-compatible server: real HTTP on 127.0.0.1, in a thread.

    server.faults.append(status(500))     the next chat request gets that instead of a response; then those after it
    server.stop(); server.start()         killed, connections and all, and restarted on the same port

It answers like `FakeSampler` of the teacher: as the question and the seed say, whatever the order of the requests.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import numpy as np

from store.records import Prompt
from tests.fakes import gold

Reply = dict[str, Any]
Fault = Callable[["Handler", Reply], None]
"""Writes to a handler what it wants instead of the reply that was due."""

MODEL = "fake-teacher"
RENDER = "/v1/chat/completions/render"
GENERATE = "/inference/v1/generate"
PICTURE, PICTURE_LENGTH = 1_000_000, 5
"""The token of a picture, which no tiny model has, and how many of it stand for one."""


def status(code: int, message: str = "out of order", **headers: str) -> Fault:
    def write(handler: Handler, reply: Reply) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.answer({"error": {"message": message}}, code, **named)

    return write


def half_a_json(handler: Handler, reply: Reply) -> None:
    handler.answer_bytes(json.dumps(reply).encode()[:40])


def half_a_body(handler: Handler, reply: Reply) -> None:
    """Promises more bytes than come."""
    data = json.dumps(reply).encode()
    handler.answer_bytes(data[:40], length=len(data))
    handler.close_connection = True


def hang_up(handler: Handler, reply: Reply) -> None:
    handler.close_connection = True


def stall(handler: Handler, reply: Reply) -> None:
    """Until the server is stopped, or longer than any test waits."""
    handler.fake.stopping.wait(10)
    handler.close_connection = True


def empty_choices(handler: Handler, reply: Reply) -> None:
    handler.answer(reply | {"choices": []})


def broken_off(handler: Handler, reply: Reply) -> None:
    """What vLLM says of the responses that it was working on when it was shut down."""
    choice = reply["choices"][0]
    handler.answer(reply | {"choices": [choice | {"finish_reason": "abort", "message": {"content": "I"}}]})


class FakeServer:
    """The server, and what it was asked. Enter it to start it."""

    def __init__(self, *, model: str = MODEL, key: str | None = None, lists_models: bool = True) -> None:
        self.model = model
        self.key = key
        self.lists_models = lists_models
        self.faults: deque[Fault] = deque()
        self.refuses: Callable[[dict[str, Any]], str | None] = lambda body: None
        """Why a request gets a 400, or None."""
        self.message: Callable[[dict[str, Any]], dict[str, Any]] = answer_of
        """The message of a response, and under `finish_reason` how it ended."""
        self.likes: Sequence[int] | None = None
        """If it scores given tokens, as vLLM with --enable-scale-out: what it tells at most, each half as likely."""
        self.context = 1_000_000
        """Longest text that it scores, in tokens."""
        self.scored: list[dict[str, Any]] = []
        """Requests for scores."""
        self.bodies: list[dict[str, Any]] = []
        """Chat requests, in the order in which they came."""
        self.num_connections = 0
        self.most_at_once = 0
        self.before_reply: Callable[[int], None] = lambda number: None
        """Called with the number of the chat request, before it is answered."""
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.at_once = 0
        self.open: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        self.stopping.clear()
        handler = type("BoundHandler", (Handler,), {"fake": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is None:
            return
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self.lock:
            for connection in self.open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self.open.clear()

    def __enter__(self) -> FakeServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeServer

    def setup(self) -> None:
        super().setup()
        with self.fake.lock:
            self.fake.num_connections += 1
            self.fake.open.add(self.connection)

    def do_GET(self) -> None:
        if not self._is_let_in():
            return
        if self.path == "/v1/models" and self.fake.lists_models:
            self.answer({"data": [{"id": self.fake.model}]})
        else:
            self.answer({"error": {"message": f"no path {self.path}"}}, 404)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        data = self.rfile.read(length)
        if len(data) < length:  # the client hung up, or this server was stopped
            self.close_connection = True
            return
        body = json.loads(data)
        if not self._is_let_in():
            return
        scores = self.path in (RENDER, GENERATE) and self.fake.likes is not None
        if self.path != "/v1/chat/completions" and not scores:
            self.answer({"error": {"message": f"no path {self.path}"}}, 404)
            return
        if body["model"] != self.fake.model:
            self.answer({"error": {"message": f"The model `{body['model']}` does not exist."}}, 404)
            return
        if scores:
            self._score(body)
            return
        with self.fake.lock:
            self.fake.bodies.append(body)
            number = len(self.fake.bodies)
            fault = self.fake.faults.popleft() if self.fake.faults else None
            self.fake.at_once += 1
            self.fake.most_at_once = max(self.fake.most_at_once, self.fake.at_once)
        self.fake.before_reply(number)
        reply = reply_to(body, self.fake.message)
        refusal = self.fake.refuses(body)
        with self.fake.lock:  # before the reply: the client's next request may overtake what follows it
            self.fake.at_once -= 1
        if fault is not None:
            fault(self, reply)
        elif refusal is not None:
            self.answer({"error": {"message": refusal}}, 400)
        else:
            self.answer(reply)

    def _score(self, body: dict[str, Any]) -> None:
        if self.path == RENDER:
            self.answer(rendering(body))
            return
        with self.fake.lock:
            self.fake.scored.append(body)
        likes = self.fake.likes or ()
        if len(body["token_ids"]) > self.fake.context:
            self.answer({"error": {"message": f"longer than the maximum model length of {self.fake.context}"}}, 400)
        elif body["sampling_params"]["prompt_logprobs"] > len(likes):
            told = f"Requested prompt logprobs, which is greater than max allowed: {len(likes)}"
            self.answer({"error": {"message": told}}, 400)
        else:
            self.answer(scores_of(body, likes))

    def _is_let_in(self) -> bool:
        given = self.headers.get("Authorization")
        if self.fake.key is None or given == f"Bearer {self.fake.key}":
            return True
        self.answer({"error": {"message": f"Incorrect API key provided: {given}"}}, 401)
        return False

    def answer(self, reply: Reply, code: int = 200, **headers: str) -> None:
        self.answer_bytes(json.dumps(reply).encode(), code, **headers)

    def answer_bytes(self, data: bytes, code: int = 200, *, length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silence."""


def question_of(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def images_of(body: dict[str, Any]) -> list[str]:
    content = body["messages"][-1]["content"]
    return [] if isinstance(content, str) else [part["image_url"]["url"] for part in content[:-1]]


def answer_of(body: dict[str, Any]) -> dict[str, Any]:
    question = question_of(body)
    chance = np.random.default_rng(body["seed"]).random()
    right = chance < 0.97
    return {"content": f"I see. Answer: {gold(Prompt.make(question)) if right else f'{int(chance * 5)} wrong'}"}


def reply_to(body: dict[str, Any], message: Callable[[dict[str, Any]], dict[str, Any]]) -> Reply:
    said = {"role": "assistant", "content": None} | message(body)
    choice = {"index": 0, "finish_reason": said.pop("finish_reason", "stop"), "message": said}
    return {"object": "chat.completion", "choices": [choice], "usage": {"completion_tokens": 6}}


def rendering(body: dict[str, Any]) -> Reply:
    """A question's letters as tokens, after `PICTURE_LENGTH` tokens for each picture."""
    pictures = len(images_of(body))
    ids = [PICTURE] * PICTURE_LENGTH * pictures + [100 + ord(letter) % 50 for letter in question_of(body)]
    places = [{"offset": number * PICTURE_LENGTH, "length": PICTURE_LENGTH} for number in range(pictures)]
    return {"token_ids": ids, "features": {"mm_placeholders": {"image": places}} if pictures else None}


def scores_of(body: dict[str, Any], likes: Sequence[int]) -> Reply:
    """The same opinion of every place, whatever is before it."""
    ids: list[int] = []
    for token in body["token_ids"]:
        ids += [token] * (PICTURE_LENGTH if token == PICTURE else 1)
    told = likes[: body["sampling_params"]["prompt_logprobs"]]
    likely = {str(token): {"logprob": -np.log(2) * rank, "rank": rank} for rank, token in enumerate(told, start=1)}
    places = [likely | {str(token): likely.get(str(token), {"logprob": -12.0, "rank": 100})} for token in ids[1:]]
    return {"prompt_token_ids": ids, "prompt_logprobs": [None, *places]}
