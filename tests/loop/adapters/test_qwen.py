"""The paper's architecture in process: image tokens have positions on three axes, and thinking is cut from answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from loop.adapters.decoding import Wanted, draw
from loop.adapters.distilling import Responses, response_logits
from loop.adapters.embedder import ModelEmbedder
from loop.adapters.encoding import positions
from loop.adapters.models import Models
from loop.adapters.sampler import TransformersSamplers
from loop.adapters.trainer import DistillingTrainer
from loop.config import Sampling
from loop.ports import SamplingJob, TrainingJob
from loop.training_settings import Training
from policies.answers import extract
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.errors import ModelUnusable
from store.records import Prompt, Version
from tests.fakes import QuietProgress
from tests.tiny_models import make_prompts, picture, version_of
from tests.tiny_qwen import registered_processor, write_qwen

GREEDY = Sampling(temperature=0.0, max_tokens=10, batch=8)


@pytest.fixture(scope="module", autouse=True)
def processor() -> Iterator[None]:
    with registered_processor():
        yield


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> FileBlobs:
    return FileBlobs(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def models(blobs: FileBlobs, tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(blobs, FileCheckpoints(tmp_path_factory.mktemp("checkpoints")), device="cpu", threads=1)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version_of(write_qwen(tmp_path_factory.mktemp("qwen") / "model", seed=1))


@pytest.fixture
def prompts(blobs: FileBlobs) -> list[Prompt]:
    """One image, two images, none."""
    first, second, third = make_prompts(3, blobs)
    return [first, Prompt.make("what is this", [*second.images, *third.images]), Prompt.make("how many")]


def greedy(models: Models, version: Version, prompts: list[Prompt]) -> list[str]:
    chunks = TransformersSamplers(models).open(version).sample(SamplingJob(prompts, 1, 0, GREEDY))
    return [one.text for chunk in chunks for one in chunk]


def test_greedy_equals_generate_for_one_two_and_no_images(
    models: Models, version: Version, prompts: list[Prompt]
) -> None:
    loaded = models.get(version)
    batch = models.encode(loaded, prompts)
    never = sorted(loaded.placeholder_ids)
    made = loaded.model.generate(**batch, do_sample=False, max_new_tokens=10, suppress_tokens=never)
    expected = loaded.tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    assert greedy(models, version, prompts) == [text.strip() for text in expected]
    assert len(set(expected)) == 3


def test_a_row_does_not_depend_on_the_other_rows(models: Models, version: Version, prompts: list[Prompt]) -> None:
    assert greedy(models, version, prompts) == [greedy(models, version, [prompt])[0] for prompt in prompts]


def test_image_tokens_have_their_own_positions(models: Models, version: Version, prompts: list[Prompt]) -> None:
    loaded = models.get(version)
    batch = models.encode(loaded, prompts)
    placed = positions(loaded.model, batch)
    assert placed.shape == (3, *batch["input_ids"].shape)
    assert (placed[1] != placed[2]).any()
    text_only = positions(loaded.model, models.encode(loaded, prompts[2:]))
    assert (text_only == torch.arange(text_only.shape[-1])).all()


def test_scoring_a_drawn_response_gives_what_drew_it(models: Models, version: Version, prompts: list[Prompt]) -> None:
    loaded = models.get(version)
    batch = models.encode(loaded, prompts)
    wanted = [Wanted(prompt.id, [0]) for prompt in prompts]
    drawn = [own[0] for own in draw(loaded, batch, wanted, temperature=0.0, max_tokens=6)]
    with torch.no_grad():
        logits = response_logits(loaded.model, batch, Responses.of(drawn, loaded.device))
    logits[..., sorted(loaded.placeholder_ids)] = -torch.inf
    assert logits.argmax(-1).tolist() == [token for one in drawn for token in one.tokens]


def test_a_blanked_image_changes_what_the_model_says(models: Models, version: Version, blobs: FileBlobs) -> None:
    seen = make_prompts(6, blobs)
    blank = blobs.put(picture(None))
    unseen = [Prompt.make(prompt.question, [blank]) for prompt in seen]
    assert greedy(models, version, seen) != greedy(models, version, unseen)


def test_the_pair_trains_and_embeds(models: Models, version: Version, blobs: FileBlobs, tmp_path: Path) -> None:
    teacher = version_of(write_qwen(tmp_path / "teacher", seed=2))
    prompts = [*make_prompts(3, blobs), *make_prompts(2, blobs, images=False)]
    settings = Training(steps=2, batch=3, learning_rate=1e-3, warmup_steps=0, max_tokens=4, checkpoint_steps=2)
    job = TrainingJob(version, teacher, prompts, [1.0] * 5, settings, seed=1)
    run = DistillingTrainer(models).train(job, work_dir=tmp_path / "work", progress=QuietProgress())
    assert run.steps == 2
    assert run.train_tokens > 0
    assert folder_digest(run.folder) != version.id
    trained = models.get(version_of(run.folder))
    assert trained.sees_images
    vectors = ModelEmbedder(models, version).embed(prompts)
    assert vectors.shape == (5, 128)


def test_the_thinking_of_a_response_is_cut() -> None:
    thought = "the bar says 12, or Answer: 13?\n</think>\nAnswer: 12"
    assert extract(thought, "answer") == "12"
    assert extract("still thinking, Answer: 13", "answer") == "13"


def test_a_process_that_does_not_know_the_processor_refuses_the_model(tmp_path: Path, models: Models) -> None:
    from transformers import Qwen3VLConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    folder = write_qwen(tmp_path / "model", seed=3)
    known = PROCESSOR_MAPPING._extra_content.pop(Qwen3VLConfig)
    try:
        with pytest.raises(ModelUnusable, match=r"ignores images|cannot be loaded"):
            models.get(version_of(folder))
    finally:
        PROCESSOR_MAPPING._extra_content[Qwen3VLConfig] = known
