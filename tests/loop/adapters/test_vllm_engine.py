"""vLLM in process. With a fake engine: which version is served, and when it sleeps. With a real one: what only it can.

Versions that are adapters: test_vllm_adapters.py.

tests/vllm_environment/test_in_process.py runs this file where vLLM is.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loop.adapters.models import Models
from loop.adapters.reading import load_reader
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.vllm_adapters import Reach
from loop.adapters.vllm_engine import VllmSampler, VllmSamplers
from loop.adapters.vllm_running import Running
from loop.config import Sampling
from loop.engine_settings import VllmEngine
from loop.ports import SamplingJob
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.errors import ModelUnusable
from store.records import Prompt, Version
from tests.fake_vllm import fake_samplers
from tests.tiny_models import make_prompts, version_of, write_byte_model, write_model

WARM = Sampling(temperature=1.0, max_tokens=12, batch=8)
SMALL = VllmEngine(max_model_len=128, memory_share=0.1)
NEEDS_VLLM = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="tests/vllm_environment/test_in_process.py runs it"
)


@NEEDS_VLLM
def test_vllm_answers_as_a_text_only_model_does_in_transformers(
    tmp_path: Path, blobs: FileBlobs, checkpoints: FileCheckpoints
) -> None:
    version = version_of(write_byte_model(tmp_path / "model", seed=0))
    prompts = make_prompts(6, blobs, images=False)
    greedy = WARM.model_copy(update={"temperature": 0.0})
    samplers = VllmSamplers(SMALL, blobs, checkpoints, dtype="float32")
    reference = TransformersSamplers(Models(blobs, checkpoints, device="cpu", threads=1)).open(version)
    theirs, ours = (
        [one.text for chunk in sampler.sample(SamplingJob(prompts, 1, 0, greedy)) for one in chunk]
        for sampler in (reference, samplers.open(version))
    )
    assert ours == theirs
    assert len(set(ours)) > 1
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
    roomy = WARM.model_copy(update={"max_tokens": 60})
    chunks = samplers.open(version).sample(SamplingJob(prompts, 2, 0, roomy, schema=schema))
    said = [json.loads(one.text)["colour"] for chunk in chunks for one in chunk if not one.truncated]
    assert said
    assert set(said) <= {"red", "blue"}
    long = Prompt.make("x" * 300)
    (mixed,) = samplers.open(version).sample(SamplingJob([*prompts[:2], long, prompts[2]], 2, 0, WARM))
    (alone,) = samplers.open(version).sample(SamplingJob(prompts[:3], 2, 0, WARM))
    assert [one for one in mixed if one.prompt_id != long.id] == alone, "one prompt that is too long costs itself only"
    assert [(one.text, one.truncated) for one in mixed if one.prompt_id == long.id] == [("", True)] * 2
    scored = samplers.open(version).score([prompts[0], long], [[5, 6], [5]], top=2)
    assert [len(one.given) for one in scored] == [2, 0]
    samplers.close()


class ScoringLlm:
    """An engine of a vLLM that scores token ids which it is given: each token t with -t."""

    def __init__(self, *, can: bool) -> None:
        self.llm_engine = SimpleNamespace(vllm_config=SimpleNamespace(use_v2_model_runner=can))
        self.asked: list[Any] = []

    def generate(self, requests: list[dict[str, Any]], params: list[Any], **_: Any) -> list[Any]:
        self.asked = params
        return [self._scored(request["prompt_token_ids"], own) for request, own in zip(requests, params, strict=True)]

    def _scored(self, ids: list[int], params: Any) -> Any:
        if params.prompt_logprob_token_ids is None:
            places = [None, *({token: SimpleNamespace(logprob=-token, rank=9)} for token in ids[1:])]
            return SimpleNamespace(prompt_logprobs=places)
        rows = params.prompt_logprob_token_ids
        assert len(rows) == len(ids) - 1 - params.prompt_logprob_start, "what vLLM requires"
        return SimpleNamespace(prompt_token_id_logprobs=-np.asarray(rows, dtype=np.float32))


@NEEDS_VLLM
@pytest.mark.parametrize(("can", "images", "asks_ids"), [(True, 0, True), (True, 1, False), (False, 0, False)])
def test_vllm_is_asked_for_given_tokens_alone_where_it_can(
    tmp_path: Path, blobs: FileBlobs, can: bool, images: int, asks_ids: bool
) -> None:
    reader = load_reader(str(write_model(tmp_path / "model", seed=0)), name="model")
    llm, version = ScoringLlm(can=can), version_of(tmp_path / "model")
    running = Running(version, llm, reach=Reach.NONE, rank=0, sleeps=False)
    sampler = VllmSampler(version, reader, blobs, running, probe=None)  # type: ignore[arg-type]
    prompts = make_prompts(2, blobs, images=bool(images))
    scores = sampler.score(prompts, [[7, 8, 9], [5]], top=0)
    assert [own.given.tolist() for own in scores] == [[-7.0, -8.0, -9.0], [-5.0]]
    assert [own.top_ids.shape for own in scores] == [own.top.shape for own in scores] == [(3, 0), (1, 0)]
    assert all((own.prompt_logprob_token_ids is not None) is asks_ids for own in llm.asked)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Version, Version]:
    return tuple(version_of(write_model(tmp_path / str(seed), seed=seed)) for seed in (1, 2))  # type: ignore[return-value]


def test_each_version_gets_a_fresh_engine_and_the_last_one_is_ended(
    pair: tuple[Version, Version], blobs: FileBlobs, checkpoints: FileCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, samplers = fake_samplers(SMALL, blobs, checkpoints, monkeypatch)
    first = samplers.open(pair[0])
    assert samplers.open(pair[0]) is first
    samplers.open(pair[1])
    assert [llm.calls for llm in fake.started] == [["score", "end"], ["score"]]


def test_an_engine_that_serves_another_version_is_refused_and_ended(
    pair: tuple[Version, Version], blobs: FileBlobs, checkpoints: FileCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, samplers = fake_samplers(SMALL, blobs, checkpoints, monkeypatch)
    fake.stale = pair[0].source
    with pytest.raises(ModelUnusable, match=f"{pair[1].id[:12]}.*does not serve this version"):
        samplers.open(pair[1])
    assert fake.started[-1].calls == ["score", "end"]


def test_an_engine_that_sleeps_is_probed_each_time_it_wakes(
    pair: tuple[Version, Version], blobs: FileBlobs, checkpoints: FileCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleepy = SMALL.model_copy(update={"sleep": True})
    fake, samplers = fake_samplers(sleepy, blobs, checkpoints, monkeypatch)
    opened = samplers.open(pair[0])
    prompts = make_prompts(1, blobs)
    opened.score(prompts, [[1, 2]], top=1)
    llm = fake.started[0]
    assert llm.calls == ["score", "sleep 1", "wake", "score", "score", "sleep 1"]
    llm.held = pair[1].source  # as a reload has done
    with pytest.raises(ModelUnusable, match="does not serve this version"):
        opened.score(prompts, [[1, 2]], top=1)
    assert llm.calls[-1] == "sleep 1"
