"""A real `vllm serve` of a version, with an adapter that was trained on it: it answers as the merged student too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from loop.adapters.models import Models
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.server import ServerSampler
from loop.config import Sampling
from loop.engine_settings import ServerEngine
from loop.ports import Sampler, SamplingJob
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.records import Prompt
from tests.tiny_models import make_prompts, version_of
from tests.vllm_environment.serving import Served

pytestmark = pytest.mark.slow

GREEDY = Sampling(temperature=0.0, max_tokens=16, batch=8)
ROUNDING = 2e-3


def test_a_server_serves_a_version_by_its_adapter(vllm_server: Served, tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    models = TransformersSamplers(Models(blobs, FileCheckpoints(tmp_path / "checkpoints"), device="cpu", threads=1))
    prompts = make_prompts(4, blobs)
    tokens = [list(range(5, 11))] * len(prompts)
    given, said = {}, {}
    for name, folder in {"teacher": vllm_server.folder, **vllm_server.adapters}.items():
        here = models.open(version_of(folder))
        there = ServerSampler(ServerEngine(endpoints=(vllm_server.url,), served_name=name), name, blobs)
        said[name] = greedy(there, prompts)
        assert said[name] == greedy(here, prompts)
        given[name], expected = (
            np.stack([own.given for own in scorer.score(prompts, tokens, top=1)]) for scorer in (there, here)
        )
        np.testing.assert_allclose(given[name], expected, atol=ROUNDING)
    assert said["adapted"] != said["teacher"]
    assert np.abs(given["adapted"] - given["teacher"]).mean() > 0.1


def greedy(sampler: Sampler, prompts: Sequence[Prompt]) -> list[str]:
    found = [one for chunk in sampler.sample(SamplingJob(prompts, 1, 0, GREEDY)) for one in chunk]
    place = {prompt.id: number for number, prompt in enumerate(prompts)}
    return [one.text for one in sorted(found, key=lambda one: place[one.prompt_id])]  # a server's come in any order
