"""A vLLM that is transformers beneath: which engine would have answered what, without vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from loop.adapters import vllm_running
from loop.adapters.models import Models
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.vllm_adapters import Adapter, Reach
from loop.adapters.vllm_engine import VllmSampler, VllmSamplers
from loop.engine_settings import VllmEngine
from loop.ports import TokenScores
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.errors import ModelUnusable
from store.records import Prompt
from tests.tiny_models import version_of


class FakeLlm:
    """An engine that holds some version, which need not be the one that it was asked for."""

    def __init__(self, held: str) -> None:
        self.held = held
        self.calls: list[str] = []
        self.llm_engine = self
        self.engine_core = self

    def shutdown(self) -> None:
        self.calls.append("end")

    def sleep(self, level: int) -> None:
        self.calls.append(f"sleep {level}")

    def wake_up(self) -> None:
        self.calls.append("wake")


class FakeVllm:
    """Starts engines, and makes a `VllmSampler` score with transformers what its engine holds."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.started: list[FakeLlm] = []
        self.reach = Reach.ALL
        self.stale: str | None = None
        """Folder that engines hold in place of what they are asked for."""
        self.adapters = "serves"
        """`serves`, `ignores` or `refuses` them."""

    def start(self, folder: str, engine: VllmEngine, **_: Any) -> tuple[FakeLlm, Reach]:
        self.started.append(FakeLlm(self.stale or folder))
        return self.started[-1], self.reach

    def put_on(self, llm: FakeLlm, adapter: Adapter, *, name: str, number: int) -> str:
        """What makes a request one of an adapter is here the folder that answers it."""
        llm.calls.append(f"adapter {number}")
        if self.adapters == "refuses":
            raise ModelUnusable("vLLM does not take it")
        return llm.held if self.adapters == "ignores" else str(Path(adapter.folder).parent)

    def score(
        self, sampler: VllmSampler, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]], *, top: int
    ) -> list[TokenScores]:
        with sampler.awake():
            llm = sampler.running.llm
            llm.calls.append("score")
            held = version_of(Path(sampler._lora or llm.held))
            return TransformersSamplers(self.models).open(held).score(prompts, responses, top=top)


def fake_samplers(
    engine: VllmEngine,
    blobs: FileBlobs,
    checkpoints: FileCheckpoints,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lora_rank: int = 0,
) -> tuple[FakeVllm, VllmSamplers]:
    """Samplers on a fake vLLM."""
    fake = FakeVllm(Models(blobs, checkpoints, device="cpu", threads=1))
    samplers = VllmSamplers(engine, blobs, checkpoints, dtype="float32", lora_rank=lora_rank, start=fake.start)
    fake.models = Models(samplers._blobs, checkpoints, device="cpu", threads=1)  # they see the probe's picture
    monkeypatch.setattr(VllmSampler, "score", lambda sampler, *args, **kwargs: fake.score(sampler, *args, **kwargs))
    monkeypatch.setattr(vllm_running, "put_on", fake.put_on)
    return fake, samplers
