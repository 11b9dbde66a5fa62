"""`[engines.teacher]`, `[engines.student]`, `[engines.generator]`: what draws a model's responses, and where.

    kind = "transformers"  in this process, any device            the default
    kind = "vllm"          in this process, with vLLM             many prompts on a GPU
    kind = "server"        an OpenAI-compatible server            a model that does not fit here

Each kind has its own keys; a key of another kind is an unknown key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag

from loop.section import Count, Positive, Section


def _url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("must be a URL such as http://127.0.0.1:8000/v1")
    if url.username or url.password or url.query:  # the file's text is kept in the ledger, and shown
        raise ValueError("must hold no user, password or query: put a key into an environment variable (api_key_env)")
    return value.rstrip("/")


class TransformersEngine(Section):
    """Sampling in this process, with transformers."""

    kind: Literal["transformers"] = "transformers"
    """`transformers` and `vllm` sample in this process, `server` asks an OpenAI-compatible server."""
    device_map: Literal["none", "auto", "balanced", "balanced_low_0", "sequential"] = "none"
    """`none` puts the whole model on `models.device`; the others spread it over all GPUs (accelerate's names)."""
    attention: Literal["default", "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] = (
        "default"
    )
    """Attention implementation; `default` leaves it to transformers."""
    adapter: str | None = None
    """A LoRA folder that PEFT wrote; it is merged into the model, once, at the start."""


class VllmEngine(Section):
    """Sampling in this process, with vLLM."""

    kind: Literal["vllm"] = "vllm"
    """As above."""
    max_model_len: Positive = 8192
    """Tokens of a prompt, its images included, and its response together, at most."""
    tensor_parallel: Positive = 1
    """GPUs that share the model."""
    memory_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.4
    """Share of each GPU's memory for this engine; teacher, student and training have to get along."""
    sleep: bool = False
    """Give the GPU's memory back between uses: the weights wait in main memory (vLLM's sleep level 1)."""
    serve_adapters: bool = True
    """With `training.lora`: a student that is an adapter on what the engine holds is answered by that engine."""
    adapter: str | None = None
    """A LoRA folder that PEFT wrote; it is merged into the model, once, at the start."""


class ServerEngine(Section):
    """Sampling by an OpenAI-compatible server: vLLM `serve`, SGLang, a hosted API."""

    kind: Literal["server"] = "server"
    """As above."""
    endpoints: Annotated[tuple[Annotated[str, AfterValidator(_url)], ...], Field(min_length=1)]
    """Base URLs, e.g. `["http://127.0.0.1:8000/v1"]`; several serve the same model."""
    served_name: str | None = None
    """What the server calls the model; left out, what `[models]` calls it."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the API key; the key itself is written nowhere."""
    concurrency: Positive = 32
    """Requests in flight, at most."""
    timeout_seconds: Annotated[float, Field(gt=0.0)] = 600.0
    """Deadline of one request."""
    retries: Count = 6
    """How often a request is tried again after a failure that may pass."""


Engine = TransformersEngine | VllmEngine | ServerEngine


def _kind(value: Any) -> Any:
    """A table without `kind` is one of transformers."""
    return value.get("kind", "transformers") if isinstance(value, Mapping) else getattr(value, "kind", None)


def _trains(engine: Engine) -> Engine:
    if isinstance(engine, ServerEngine):
        raise ValueError('each round makes a new student, which no server has: say "transformers" or "vllm"')
    return engine


AnyEngine = Annotated[
    Annotated[TransformersEngine, Tag("transformers")]
    | Annotated[VllmEngine, Tag("vllm")]
    | Annotated[ServerEngine, Tag("server")],
    Discriminator(_kind),
]


class Engines(Section):
    """What draws responses."""

    teacher: AnyEngine = TransformersEngine()
    """Of the teacher."""
    student: Annotated[AnyEngine, AfterValidator(_trains)] = TransformersEngine()
    """Of the student."""
    generator: AnyEngine = TransformersEngine()
    """Of `models.generator`, where that is a model of its own."""
