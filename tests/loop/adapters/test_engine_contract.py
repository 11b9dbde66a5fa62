"""What every engine promises, on the embedded teacher: the same tests for each of them.

transformers   in this process
vllm           in this process; tests/vllm_environment/test_in_process.py runs it where vLLM is
server         a real `vllm serve`
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from loop.adapters.images import to_png
from loop.adapters.models import Models, resolve_version, source_folder
from loop.adapters.reading import load_reader
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.server import ServerSamplers
from loop.adapters.vllm_engine import VllmSamplers
from loop.config import Sampling
from loop.engine_settings import ServerEngine, VllmEngine
from loop.ports import Sampler, SamplingJob, Scorer
from loop.rollouts import Drawing, as_rollout
from loop.world.questions import ask, families_of
from loop.world.scenes import KINDS, draw, new_scene
from policies.answers import AnswerSettings
from policies.divergence import answer_class, score_all
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.records import Prompt, Role, Sample, Version

TEACHER = "embedded:teacher"
GREEDY = Sampling(temperature=0.0, max_tokens=32, batch=16)
WARM = Sampling(temperature=1.0, max_tokens=32, batch=16)
ROUNDING = 2e-3
"""Log-probabilities of two float32 implementations agree to about 1e-4."""


class Opened(Sampler, Scorer, Protocol):
    """What an engine opens for a version."""


@dataclass(frozen=True)
class Engine:
    """An engine on the embedded teacher, and where its prompts have their pictures."""

    opened: Opened
    blobs: FileBlobs
    models: Models
    version: Version

    def sample(self, prompts: Sequence[Prompt], n: int, settings: Sampling, **more: int) -> list[Sample]:
        chunks = self.opened.sample(SamplingJob(prompts, n, settings=settings, **{"seed": 5, **more}))
        place = {prompt.id: number for number, prompt in enumerate(prompts)}
        drawn = [one for chunk in chunks for one in chunk]  # a server's come in any order
        return sorted(drawn, key=lambda one: (place[one.prompt_id], one.index))

    def tokens_of(self, text: str) -> list[int]:
        reader = load_reader(source_folder(TEACHER, self.models.checkpoints), name="teacher")
        return [*reader.tokenizer.encode(text, add_special_tokens=False), reader.tokenizer.eos_token_id]


@pytest.fixture(scope="module", params=["transformers", "vllm", "server"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("contract")
    blobs, checkpoints = FileBlobs(folder / "blobs"), FileCheckpoints(folder / "checkpoints")
    models = Models(blobs, checkpoints, device="cpu", threads=1)
    version = resolve_version(TEACHER, Role.TEACHER, checkpoints)
    if request.param == "transformers":
        yield Engine(TransformersSamplers(models).open(version), blobs, models, version)
        return
    if request.param == "server":
        served = request.getfixturevalue("vllm_server")
        server = ServerEngine(endpoints=(served.url,), served_name=served.name, concurrency=16)
        yield Engine(ServerSamplers(server, blobs).open(version), blobs, models, version)
        return
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("tests/vllm_environment/test_in_process.py runs it where vLLM is")
    samplers = VllmSamplers(VllmEngine(max_model_len=512, memory_share=0.1), blobs, checkpoints, dtype="float32")
    yield Engine(samplers.open(version), blobs, models, version)
    samplers.close()


@pytest.fixture(scope="module")
def prompts(engine: Engine) -> list[Prompt]:
    """Three questions about a scene of each kind, no two alike."""
    rng, made = np.random.default_rng(0), dict[str, Prompt]()
    for kind in KINDS:
        scene = new_scene("held_out", kind, rng)
        image = engine.blobs.put(to_png(draw(scene)))
        asked = (ask(scene, family, rng) for family in families_of(scene))
        for text in [question.text for question in asked if question is not None][:3]:
            made.setdefault(text, Prompt.make(text, [image]))
    return list(made.values())


@pytest.fixture(scope="module")
def blanked(engine: Engine, prompts: list[Prompt]) -> list[Prompt]:
    """The same questions about nothing."""
    from PIL import Image

    blank = engine.blobs.put(to_png(Image.new("RGB", (96, 96), "white")))
    return [Prompt.make(prompt.question, [blank]) for prompt in prompts]


def classes(samples: Sequence[Sample], prompts: Sequence[Prompt], version: Version) -> list[list[str]]:
    """The answer classes of each prompt's samples."""
    drawing = Drawing(version, {}, WARM, AnswerSettings(formulas=False), 0, "contract")
    by_id = {prompt.id: prompt for prompt in prompts}
    found: dict[str, list[str]] = {prompt.id: [] for prompt in prompts}
    for one in samples:
        found[one.prompt_id].append(answer_class(as_rollout(one, by_id[one.prompt_id], drawing)))
    return list(found.values())


def differing(first: list[list[str]], second: list[list[str]]) -> float:
    """Share of prompts on which two sets of samples differ, by the exact test and Benjamini-Hochberg."""
    ids = [str(number) for number in range(len(first))]
    scores = score_all(ids, ("first", "second"), first, second, smoothing=0.05, false_share=0.05)
    return float(np.mean([bool(score.differs) for score in scores]))


def test_each_prompt_gets_its_samples_with_their_indices_and_seeds(engine: Engine, prompts: list[Prompt]) -> None:
    samples = engine.sample(prompts, 3, WARM, first_index=4)
    assert sorted((one.prompt_id, one.index) for one in samples) == sorted(
        (prompt.id, index) for prompt in prompts for index in (4, 5, 6)
    )
    assert len({one.seed for one in samples}) == len(samples)
    again = {(one.prompt_id, one.index): one.seed for one in engine.sample(prompts[::-1], 2, WARM, first_index=5)}
    assert all(again.get((one.prompt_id, one.index), one.seed) == one.seed for one in samples)


def test_samples_follow_from_the_seed(engine: Engine, prompts: list[Prompt]) -> None:
    first = engine.sample(prompts, 4, WARM)
    assert first == engine.sample(prompts, 4, WARM)
    assert [one.text for one in first] != [one.text for one in engine.sample(prompts, 4, WARM, seed=6)]


def test_greedy_gives_one_answer_in_the_agreed_form(engine: Engine, prompts: list[Prompt]) -> None:
    samples = engine.sample(prompts, 2, GREEDY)
    texts: dict[str, set[str]] = {}
    for one in samples:
        texts.setdefault(one.prompt_id, set()).add(one.text)
    assert all(len(own) == 1 for own in texts.values())
    assert all("Answer:" in one.text and not one.truncated for one in samples)


def test_a_response_that_reaches_max_tokens_is_truncated(engine: Engine, prompts: list[Prompt]) -> None:
    cut = engine.sample(prompts[:3], 2, GREEDY.model_copy(update={"max_tokens": 2}))
    assert all(one.truncated and one.num_tokens == 2 for one in cut)
    whole = engine.sample(prompts[:3], 2, GREEDY)
    assert all(not one.truncated and 2 < one.num_tokens < 32 for one in whole)


def test_prompts_without_an_image_and_with_two_are_answered(engine: Engine, prompts: list[Prompt]) -> None:
    images = [prompts[0].images[0], prompts[-1].images[0]]
    text_only, one, two, swapped = (
        Prompt.make(prompts[0].question, own) for own in ([], images[:1], images, images[::-1])
    )
    asked = [text_only, one, two, swapped]
    samples = engine.sample(asked, 4, WARM)
    assert len(samples) == 16
    assert all(sample.num_tokens > 0 for sample in samples)
    response = engine.tokens_of(engine.sample([one], 1, GREEDY)[0].text)
    totals = [float(own.given.sum()) for own in engine.opened.score(asked, [response] * 4, top=1)]
    assert len({round(total, 3) for total in totals}) == 4, f"each set of images must count: {totals}"


def test_the_image_reaches_the_model(engine: Engine, prompts: list[Prompt], blanked: list[Prompt]) -> None:
    seen, unseen = (classes(engine.sample(some, 16, WARM), some, engine.version) for some in (prompts, blanked))
    assert differing(seen, unseen) > 0.3
    other = classes(engine.sample(prompts, 16, WARM, seed=6), prompts, engine.version)
    assert differing(seen, other) <= 0.05


def test_scores_are_those_of_transformers(engine: Engine, prompts: list[Prompt], blanked: list[Prompt]) -> None:
    greedy = {one.prompt_id: one.text for one in engine.sample(prompts, 1, GREEDY)}
    responses = [engine.tokens_of(greedy[prompt.id]) for prompt in prompts]
    scores = engine.opened.score(prompts, responses, top=5)
    reference = TransformersSamplers(engine.models).open(engine.version).score(prompts, responses, top=5)
    for own, expected, response in zip(scores, reference, responses, strict=True):
        assert own.given.shape == (len(response),)
        assert own.top.shape == own.top_ids.shape == (len(response), 5)
        assert (np.diff(own.top) <= 0).all()
        assert own.top_ids[:, 0].tolist() == response, "each token of a greedy response is the likeliest in its place"
        np.testing.assert_allclose(own.given, own.top[:, 0], atol=1e-6)
        np.testing.assert_allclose(own.given, expected.given, atol=ROUNDING)
        likely = expected.top > -12  # further down, rounding may swap two tokens
        np.testing.assert_allclose(own.top[likely], expected.top[likely], atol=0.02)
    unseen = engine.opened.score(blanked, responses, top=0)
    drops = [float(own.given.sum() - blind.given.sum()) for own, blind in zip(scores, unseen, strict=True)]
    assert np.mean(drops) > 1.0, f"an answer must be likelier with its picture than without: {drops}"


def test_its_answers_are_distributed_as_those_of_transformers(engine: Engine, prompts: list[Prompt]) -> None:
    mine = classes(engine.sample(prompts, 16, WARM), prompts, engine.version)
    chunks = TransformersSamplers(engine.models).open(engine.version).sample(SamplingJob(prompts, 16, 9, WARM))
    theirs = classes([one for chunk in chunks for one in chunk], prompts, engine.version)
    assert differing(mine, theirs) <= 0.05


def test_an_unreadable_image_is_named(engine: Engine, tmp_path: Path) -> None:
    from store.errors import UnreadableImage

    digest = engine.blobs.put(b"no picture")
    with pytest.raises(UnreadableImage, match=digest):
        engine.sample([Prompt.make("what is this", [digest])], 1, GREEDY)
