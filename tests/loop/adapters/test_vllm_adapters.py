"""Versions that are adapters: with a fake vLLM, on which engine each is served; with a real one, that it is served.

tests/vllm_environment/test_in_process.py runs this file where vLLM is.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from loop.adapters.models import Models
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.vllm_adapters import Adapter, Reach, read_adapter
from loop.adapters.vllm_engine import VllmSamplers
from loop.config import Sampling
from loop.engine_settings import VllmEngine
from loop.ports import Sampler, SamplingJob
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.records import Prompt, Version
from tests import tiny_models
from tests.fake_vllm import FakeVllm, fake_samplers
from tests.tiny_models import make_prompts, version_of, write_byte_model, write_model

SMALL = VllmEngine(max_model_len=128, memory_share=0.1)
GREEDY = Sampling(temperature=0.0, max_tokens=12, batch=8)
ROUNDING = 2e-3
TEXT_LAYERS = ".*text_model.*_proj"
NEEDS_VLLM = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="tests/vllm_environment/test_in_process.py runs it"
)


@pytest.fixture
def base(tmp_path: Path) -> Version:
    return version_of(write_model(tmp_path / "base", seed=1, sharpness=4))


def adapted(base: Version, seed: int, *, targets: str = "all-linear", size: float = 0.1) -> Version:
    return tiny_models.adapted(
        Path(base.source).with_name(f"adapted {seed}"), base, seed=seed, targets=targets, size=size
    )


@pytest.fixture
def faked(
    blobs: FileBlobs, checkpoints: FileCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> tuple[FakeVllm, VllmSamplers]:
    return fake_samplers(SMALL, blobs, checkpoints, monkeypatch, lora_rank=4)


def test_adapters_on_one_base_share_its_engine(base: Version, faked: tuple[FakeVllm, VllmSamplers]) -> None:
    fake, samplers = faked
    versions = [base, adapted(base, 5), adapted(base, 6)]
    opened = [samplers.open(version) for version in versions]
    assert [samplers.open(version) for version in versions] == opened
    assert [sampler.version for sampler in opened] == versions
    (llm,) = fake.started
    with_and_without = ["score", "score"]
    assert llm.calls == ["score", "adapter 1", *with_and_without, "adapter 2", *with_and_without]
    samplers.close()
    assert llm.calls[-1] == "end"


def test_an_adapter_of_another_base_gets_a_fresh_engine_of_the_whole_version(
    base: Version, faked: tuple[FakeVllm, VllmSamplers]
) -> None:
    fake, samplers = faked
    first = adapted(base, 5)
    second = adapted(first, 6)
    for version in (base, first, second, base):
        samplers.open(version)
    assert [llm.held for llm in fake.started] == [base.source, second.source, base.source]
    assert [llm.calls[-1] for llm in fake.started] == ["end", "end", "score"]


@pytest.mark.parametrize(
    ("reach", "targets", "rank", "shares"),
    [
        (Reach.ALL, "all-linear", 4, True),
        (Reach.LANGUAGE, TEXT_LAYERS, 4, True),
        (Reach.LANGUAGE, "all-linear", 4, False),
        (Reach.NONE, TEXT_LAYERS, 4, False),
        (Reach.ALL, "all-linear", 3, False),
        (Reach.ALL, "lm_head", 4, False),
    ],
)
def test_an_engine_is_asked_only_for_what_it_can_adapt(
    base: Version,
    blobs: FileBlobs,
    checkpoints: FileCheckpoints,
    monkeypatch: pytest.MonkeyPatch,
    reach: Reach,
    targets: str,
    rank: int,
    shares: bool,
) -> None:
    fake, samplers = fake_samplers(SMALL, blobs, checkpoints, monkeypatch, lora_rank=rank)
    fake.reach = reach
    for version in (base, adapted(base, 5, targets=targets)):
        samplers.open(version)
    assert len(fake.started) == (1 if shares else 2)
    assert any("adapter" in call for call in fake.started[0].calls) is shares


@pytest.mark.parametrize(
    ("adapters", "size", "reason"),
    [
        ("refuses", 0.1, "vLLM does not take it"),
        ("ignores", 0.1, "does not serve this version"),
        ("ignores", 1e-3, "does not show that it is served"),
    ],
)
def test_an_adapter_that_is_not_served_costs_a_fresh_engine(
    base: Version,
    faked: tuple[FakeVllm, VllmSamplers],
    caplog: pytest.LogCaptureFixture,
    adapters: str,
    size: float,
    reason: str,
) -> None:
    fake, samplers = faked
    fake.adapters = adapters
    version = adapted(base, 5, size=size)
    samplers.open(base)
    with caplog.at_level(logging.WARNING):
        opened = samplers.open(version)
    assert f"({version.id[:12]}): a fresh engine is started" in caplog.text
    assert reason in caplog.text
    assert [llm.held for llm in fake.started] == [base.source, version.source]
    assert samplers.open(version) is opened


def test_an_engine_that_wakes_proves_the_adapter_that_is_asked_for(
    base: Version, blobs: FileBlobs, checkpoints: FileCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleepy = SMALL.model_copy(update={"sleep": True})
    fake, samplers = fake_samplers(sleepy, blobs, checkpoints, monkeypatch, lora_rank=4)
    samplers.open(base)
    opened = samplers.open(adapted(base, 5))
    (llm,) = fake.started
    proved = ["wake", "score"]
    assert llm.calls == ["score", "sleep 1", *proved, "adapter 1", "score", "score", "sleep 1"]
    llm.calls.clear()
    opened.score(make_prompts(1, blobs), [[1, 2]], top=1)
    assert llm.calls == [*proved, "score", "sleep 1"]


def test_an_adapter_is_read_from_its_folder(base: Version) -> None:
    version = adapted(base, 5, targets=".*text_model.*q_proj")
    folder = Path(version.source)
    layers = tuple(f"model.text_model.layers.{number}.self_attn.q_proj" for number in (0, 1))
    assert read_adapter(version.source) == Adapter(str(folder / "adapter"), base.id, 4, layers)
    assert read_adapter(base.source) is None


def _as_list(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("[]")


def _without_rank(folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    del config["r"]
    (folder / "adapter_config.json").write_text(json.dumps(config))


def _with_more(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "adapter_model.safetensors")
    more = {"base_model.model.lm_head.weight": np.zeros((2, 2), dtype=np.float32)}
    save_file(weights | more, folder / "adapter_model.safetensors")


def _cut(folder: Path) -> None:
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


@pytest.mark.parametrize("spoil", [_as_list, _without_rank, _with_more, _cut, shutil.rmtree])
def test_what_is_no_adapter_of_layers_is_served_as_a_whole(base: Version, spoil: Callable[[Path], None]) -> None:
    folder = Path(adapted(base, 5).source)
    assert read_adapter(str(folder)) is not None
    spoil(folder / "adapter")
    assert read_adapter(str(folder)) is None


@NEEDS_VLLM
@pytest.mark.parametrize(("write", "images"), [(write_model, True), (write_byte_model, False)])
def test_vllm_answers_and_scores_as_each_adapter_on_one_engine(
    tmp_path: Path,
    blobs: FileBlobs,
    checkpoints: FileCheckpoints,
    write: Callable[..., Path],
    images: bool,
) -> None:
    base = version_of(write(tmp_path / "base", seed=1, sharpness=4))
    versions = [base, *(adapted(base, seed) for seed in (5, 6))]
    prompts = make_prompts(4, blobs, images=images)
    reference = TransformersSamplers(Models(blobs, checkpoints, device="cpu", threads=1))
    expected = {version: _greedy(reference.open(version), prompts) for version in versions}
    assert len({tuple(texts) for texts in expected.values()}) == 3, "else it does not matter who answers"
    samplers = VllmSamplers(SMALL, blobs, checkpoints, dtype="float32", lora_rank=4)
    running = samplers.open(base).running
    tokens = [list(range(5, 11))] * len(prompts)
    for version in [*versions, *reversed(versions)]:  # a cache that mixes them up shows the second time
        opened = samplers.open(version)
        assert opened.running is running
        assert _greedy(opened, prompts) == expected[version]
        scores, theirs = (own.score(prompts, tokens, top=0) for own in (opened, reference.open(version)))
        for own, their in zip(scores, theirs, strict=True):
            np.testing.assert_allclose(own.given, their.given, atol=ROUNDING)
    samplers.close()


def _greedy(sampler: Sampler, prompts: list[Prompt]) -> list[str]:
    return [one.text for chunk in sampler.sample(SamplingJob(prompts, 1, 0, GREEDY)) for one in chunk]
