"""A vLLM engine of this process: how it is started, which version's weights it holds, and when it sleeps.

folder, rank of the adapters to come -> start_llm -> Running -> awake: a block in which it answers
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from loop.adapters.vllm_adapters import Adapter, Reach, lora_options, put_on, reach_of
from loop.engine_settings import VllmEngine
from store.errors import ModelUnusable
from store.records import Version

MAX_TOP = 256
"""Likeliest tokens per place that an engine tells, at most."""


class Running:
    """An engine, the version that it was started on, and the adapters that were put on it."""

    def __init__(self, version: Version, llm: Any, *, reach: Reach, rank: int, sleeps: bool) -> None:
        """`rank` is that of the largest adapter for which the engine has room."""
        self.version = version
        self.llm = llm
        self._reach = reach
        self._rank = rank
        self._sleeps = sleeps
        self._asleep = False
        self._in_use = False
        self._numbers = count(1)

    @property
    def adapts(self) -> bool:
        """Whether the engine was started for adapters."""
        return self._reach is not Reach.NONE

    def takes(self, adapter: Adapter) -> bool:
        """Whether the engine holds what an adapter was trained on, and can adapt each of its layers."""
        return adapter.base == self.version.id and adapter.rank <= self._rank and self._reach.covers(adapter)

    def put_on(self, adapter: Adapter, version: Version) -> Any:
        """Load the adapter of a version; returns what makes a request one of it. ModelUnusable if vLLM refuses it."""
        return put_on(self.llm, adapter, name=version.id, number=next(self._numbers))

    @contextmanager
    def awake(self, prove: Callable[[], Any]) -> Iterator[None]:
        """A block in which the engine is awake; `prove` runs if it was woken. Who woke it puts it to sleep again."""
        if self._in_use:
            yield
            return
        self._in_use = True
        try:
            if self._asleep:
                self.llm.wake_up()
                self._asleep = False
                prove()
            yield
        finally:
            self._in_use = False
            if self._sleeps:
                self.llm.sleep(level=1)
                self._asleep = True


def start_llm(folder: str, engine: VllmEngine, *, name: str, dtype: str, rank: int) -> tuple[Any, Reach]:
    """A vLLM engine on a model folder, and the layers that adapters up to a rank may have on it.

    ModelUnusable if vLLM is absent, or cannot run the model.
    """
    for key, value in {
        "VLLM_NO_USAGE_STATS": "1",  # it would report to its makers
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    }.items():
        os.environ.setdefault(key, value)
    try:
        from vllm import LLM
        from vllm.platforms import current_platform
    except ImportError as error:
        raise ModelUnusable(
            f"{name}: vLLM is not installed ({error}); pip install 'deltaloop[vllm]', or set kind = \"transformers\""
        ) from error
    if engine.sleep and not current_platform.is_sleep_mode_available():
        raise ModelUnusable(f"{name}: vLLM cannot sleep on {current_platform.device_type}; set sleep = false")
    try:
        reach = reach_of(folder, dtype, rank)
        llm = LLM(
            model=folder,
            dtype=dtype,
            max_model_len=engine.max_model_len,
            tensor_parallel_size=engine.tensor_parallel,
            gpu_memory_utilization=engine.memory_share,
            enable_sleep_mode=engine.sleep,
            enable_prefix_caching=True,
            max_logprobs=MAX_TOP,
            generation_config="vllm",  # sampling is what the campaign says, whatever the folder recommends
            seed=0,
            **lora_options(reach, rank),
            **(_on_cpu(engine) if current_platform.is_cpu() else {}),
        )
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        raise ModelUnusable(
            f"{name}: vLLM does not start: {error}; see `deltaloop doctor`, lower memory_share or max_model_len, or set"
            ' kind = "transformers"'
        ) from error
    return llm, reach


def _on_cpu(engine: VllmEngine) -> dict[str, Any]:
    """What a CPU needs: no compiling, which takes longer than it saves, and prompts that are never cut.

    vLLM 0.32 fails there when it cuts the prompt of a request with a seed ("CPU Generator does not use offset").
    """
    tokens = max(4096, engine.max_model_len)
    return {"enforce_eager": True, "enable_chunked_prefill": False, "max_num_batched_tokens": tokens}
