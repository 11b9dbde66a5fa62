"""What goes over the wire: a prompt as the body of a chat completion, and the reply as a response's text.

    prompt -> messages (images as data URLs, then the question) -> body -> POST <endpoint>/chat/completions
    reply -> checked -> text with its thinking, number of tokens, truncated?

The only module that knows the fields of the OpenAI API and the two that vLLM and SGLang add for thinking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image
from pydantic import BaseModel, Field, ValidationError

from loop.adapters.images import to_data_url, to_png
from loop.ports import Blobs
from store.errors import DeltaloopError, UnreadableImage
from store.records import Prompt

Body = dict[str, Any]

FINISHED = ("stop", "length", "content_filter", "tool_calls")
"""Reasons for which a response ends. Others, e.g. vLLM's `abort` while it shuts down, cut it off by accident."""

CONTEXT_IS_FULL = re.compile(
    r"context[ _]length|maximum.{0,40}(?:tokens|length|context)|too (?:long|many tokens)", re.I
)
"""How servers say that a prompt leaves no room for a response."""


@dataclass(frozen=True)
class Response:
    """One response as the server gave it."""

    text: str
    num_tokens: int
    truncated: bool


class _Message(BaseModel):
    content: str | None = None
    reasoning_content: str | None = None
    """vLLM until 0.11, SGLang, DeepSeek."""
    reasoning: str | None = None
    """vLLM since 0.12, OpenRouter."""


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None


class _Usage(BaseModel):
    completion_tokens: int = Field(ge=0)


class _Reply(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage


class _ModelCard(BaseModel):
    id: str


class _ModelList(BaseModel):
    data: list[_ModelCard]


_Model = TypeVar("_Model", bound=BaseModel)


def user_message(prompt: Prompt, blobs: Blobs) -> Body:
    """The prompt as one message, images first, as the in-process engines put them.

    UnreadableImage if an image's bytes are no whole picture of a bearable size.
    """
    if not prompt.images:
        return {"role": "user", "content": prompt.question}
    urls = [_image_url(blobs, digest) for digest in prompt.images]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": "user", "content": [*parts, {"type": "text", "text": prompt.question}]}


def blank_message(num_images: int) -> Body:
    """A prompt that any server answers, if it answers prompts with so many images at all."""
    url = to_data_url(to_png(Image.new("RGB", (64, 64), "white")))
    images = [{"type": "image_url", "image_url": {"url": url}}] * num_images
    return {"role": "user", "content": [*images, {"type": "text", "text": "Hello."}]}


def sampling_body(
    messages: Sequence[Body],
    *,
    seed: int,
    temperature: float,
    max_tokens: int,
    schema: Mapping[str, object] | None = None,
) -> Body:
    """A request for one response. `top_p` is sent because servers take a model's own default where it is left out."""
    body: Body = {
        "messages": list(messages),
        "seed": seed,
        "temperature": temperature,
        "top_p": 1.0,
        "max_tokens": max_tokens,
    }
    if schema is not None:
        format_ = {"name": "response", "schema": dict(schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": format_}
    return body


def read_response(data: bytes) -> Response:
    """The response in a reply. ValueError, with the reason, if the reply holds no finished one.

    Thinking that the server took apart is put back as a `<think>` block: the text is all that the model said, and the
    extraction of answers cuts such blocks away.
    """
    reply = validated(_Reply, data)
    choice = reply.choices[0]
    if choice.finish_reason not in FINISHED:
        raise ValueError(f"the response was broken off (finish_reason {choice.finish_reason!r})")
    message = choice.message
    text = (message.content or "").strip()
    thinking = message.reasoning_content or message.reasoning
    if thinking:
        text = f"<think>\n{thinking.strip()}\n</think>\n\n{text}".rstrip()
    return Response(text, reply.usage.completion_tokens, truncated=choice.finish_reason == "length")


def read_model_names(data: bytes) -> list[str]:
    """The names in a list of models. ValueError if it is none."""
    return [card.id for card in validated(_ModelList, data).data]


def read_error(data: bytes) -> str:
    """What an error reply says, in one line of at most 300 characters."""
    text = data.decode("utf-8", "replace")
    found = re.search(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
    return " ".join((found[1] if found else text).split())[:300] or "no reason given"


def validated(model: type[_Model], data: bytes) -> _Model:
    """A reply's JSON as a model of it. ValueError if it is not of that form."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"the reply is not what was asked for: {where + ': ' if where else ''}{first['msg']}"
        ) from None


def _image_url(blobs: Blobs, digest: str) -> str:
    try:
        return to_data_url(blobs.get(digest))
    except DeltaloopError:
        raise
    except ValueError as error:
        raise UnreadableImage(f"image {digest}: {error}; replace it") from error
