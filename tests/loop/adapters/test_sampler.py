"""Sampling in process, on tiny random models with well separated logits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from loop.adapters.decoding import Wanted, draw, uniform_numbers
from loop.adapters.encoding import positions
from loop.adapters.models import Loaded, Models
from loop.adapters.sampler import TransformersSamplers
from loop.config import Sampling
from loop.ports import SamplingJob
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.errors import ModelUnusable
from store.records import Prompt, Sample, Version
from tests.tiny_models import make_prompts, picture, version_of, write_model, write_text_model

GREEDY = Sampling(temperature=0.0, max_tokens=12, batch=8)
WARM = Sampling(temperature=1.0, max_tokens=12, batch=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("pair") / "model", seed=3)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> FileBlobs:
    return FileBlobs(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def models(blobs: FileBlobs, tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(blobs, FileCheckpoints(tmp_path_factory.mktemp("checkpoints")), device="cpu", threads=1)


@pytest.fixture(scope="module")
def version(folder: Path) -> Version:
    return version_of(folder)


def sample(
    models: Models, version: Version, prompts: list[Prompt], n: int, settings: Sampling, **more: int
) -> list[Sample]:
    sampler = TransformersSamplers(models).open(version)
    job = SamplingJob(prompts, n, settings=settings, **{"seed": 5, **more})
    return [one for chunk in sampler.sample(job) for one in chunk]


def test_the_same_call_twice_gives_the_same_samples(models: Models, version: Version, blobs: FileBlobs) -> None:
    prompts = make_prompts(11, blobs)
    first = sample(models, version, prompts, 4, WARM)
    assert first == sample(models, version, prompts, 4, WARM)
    assert first != sample(models, version, prompts, 4, WARM, seed=6)
    assert [(one.prompt_id, one.index) for one in first] == [(prompt.id, i) for prompt in prompts for i in range(4)]
    assert len({one.text for one in first}) > 11


def test_samples_come_in_batches_of_the_settings(models: Models, version: Version, blobs: FileBlobs) -> None:
    chunks = TransformersSamplers(models).open(version).sample(SamplingJob(make_prompts(11, blobs), 2, 0, WARM))
    assert [len(chunk) for chunk in chunks] == [16, 6]


def test_later_indices_continue_earlier_ones(models: Models, version: Version, blobs: FileBlobs) -> None:
    prompts = make_prompts(3, blobs)
    whole = sample(models, version, prompts, 5, WARM)
    rest = sample(models, version, prompts, 3, WARM, first_index=2)
    assert [one for one in whole if one.index >= 2] == rest


def test_many_samples_from_one_prefill_equal_separate_calls(models: Models, version: Version, blobs: FileBlobs) -> None:
    prompt = make_prompts(1, blobs)[0]
    together = sample(models, version, [prompt], 8, WARM)
    apart = [sample(models, version, [prompt], 1, WARM, first_index=index)[0] for index in range(8)]
    assert together == apart
    assert len({one.text for one in together}) > 1


def test_a_row_does_not_depend_on_the_other_rows(models: Models, version: Version, blobs: FileBlobs) -> None:
    prompts = make_prompts(8, blobs)
    together = sample(models, version, prompts, 3, WARM)
    backwards = sample(models, version, prompts[::-1], 3, WARM)
    alone = [one for prompt in prompts for one in sample(models, version, [prompt], 3, WARM)]
    assert together == alone
    assert sorted(together, key=repr) == sorted(backwards, key=repr)


def test_tokens_are_drawn_from_the_models_distribution(models: Models, tmp_path: Path, blobs: FileBlobs) -> None:
    flat = version_of(write_model(tmp_path / "flat", seed=1, sharpness=8))
    prompt = make_prompts(1, blobs)[0]
    loaded = models.get(flat)
    batch = models.encode(loaded, [prompt])
    num = 4000
    drawn = draw(loaded, batch, [Wanted(prompt.id, range(num))], temperature=0.7, max_tokens=1)[0]
    counts = Counter(one.tokens[0] for one in drawn)
    with torch.no_grad():
        logits = loaded.model(**batch).logits[0, -1].double() / 0.7
    logits[loaded.model.config.image_token_id] = -torch.inf
    expected = torch.softmax(logits, -1).numpy()
    observed = np.array([counts[token] / num for token in range(len(expected))])
    spread = 4.5 * np.sqrt(expected * (1 - expected) / num)
    assert (np.abs(observed - expected) <= spread + 1e-9).all()
    assert expected.max() < 0.9


def test_greedy_equals_generate(models: Models, version: Version, blobs: FileBlobs) -> None:
    prompts = make_prompts(8, blobs)
    loaded = models.get(version)
    batch = models.encode(loaded, prompts)
    never = sorted(loaded.placeholder_ids)
    generated = loaded.model.generate(**batch, do_sample=False, max_new_tokens=12, suppress_tokens=never)
    responses = generated[:, batch["input_ids"].shape[1] :]
    texts = [text.strip() for text in loaded.tokenizer.batch_decode(responses, skip_special_tokens=True)]
    assert [one.text for one in sample(models, version, prompts, 1, GREEDY)] == texts
    assert len(set(texts)) > 1


def test_left_padding_changes_no_answer(models: Models, version: Version, blobs: FileBlobs) -> None:
    prompts = make_prompts(6, blobs)
    padded = sample(models, version, prompts, 1, GREEDY)
    assert padded == [sample(models, version, [prompt], 1, GREEDY)[0] for prompt in prompts]


def test_a_blanked_image_changes_what_the_model_says(models: Models, version: Version, blobs: FileBlobs) -> None:
    blank = blobs.put(picture(None))
    prompts = make_prompts(6, blobs)
    blanked = [Prompt.make(prompt.question, [blank]) for prompt in prompts]
    seen, unseen = (sample(models, version, some, 1, GREEDY) for some in (prompts, blanked))
    assert [one.text for one in seen] != [one.text for one in unseen]
    loaded = models.get(version)
    first, second = (_log_probabilities(loaded, models, some) for some in (prompts, blanked))
    assert ((first - second).abs().amax(-1) > 1e-2).all()


def _log_probabilities(loaded: Loaded, models: Models, prompts: list[Prompt]) -> torch.Tensor:
    batch = models.encode(loaded, prompts)
    with torch.no_grad():
        logits = loaded.model(**batch, position_ids=positions(loaded.model, batch), logits_to_keep=1).logits
    return logits[:, -1].log_softmax(-1)


def test_a_response_is_truncated_only_without_its_end(models: Models, version: Version, blobs: FileBlobs) -> None:
    prompts = make_prompts(8, blobs)
    samples = sample(models, version, prompts, 8, WARM.model_copy(update={"max_tokens": 6}))
    loaded = models.get(version)
    cut = [one for one in samples if one.truncated]
    whole = [one for one in samples if not one.truncated]
    assert cut
    assert whole
    assert all(one.num_tokens == 6 for one in cut)
    assert any(one.num_tokens < 6 for one in whole)
    one = draw(loaded, models.encode(loaded, prompts[:1]), [Wanted("", [3])], temperature=1.0, max_tokens=200)[0][0]
    assert one.ended
    assert one.tokens[-1] in loaded.stop_ids
    assert not set(one.tokens[:-1]) & loaded.stop_ids


def test_placeholders_of_pixels_are_never_drawn(models: Models, tmp_path: Path, blobs: FileBlobs) -> None:
    loaded = models.get(version_of(write_model(tmp_path / "model", seed=2)))
    image = loaded.model.config.image_token_id
    with torch.no_grad():
        loaded.model.lm_head.weight[image] = 0
        loaded.model.lm_head.weight.mul_(0.001)  # a flat distribution over the vocabulary of a few words
    prompts = make_prompts(8, blobs)
    wanted = [Wanted(prompt.id, range(50)) for prompt in prompts]
    drawn = draw(loaded, models.encode(loaded, prompts), wanted, temperature=1.0, max_tokens=5)
    tokens = {token for own in drawn for one in own for token in one.tokens}
    assert image not in tokens
    assert len(tokens) == loaded.model.config.text_config.vocab_size - 1


def test_logits_that_are_not_numbers_name_the_version_and_the_prompt(
    models: Models, tmp_path: Path, blobs: FileBlobs
) -> None:
    broken = version_of(write_model(tmp_path / "model", seed=2))
    with torch.no_grad():
        models.get(broken).model.lm_head.weight[3] = torch.nan
    prompt = make_prompts(1, blobs)[0]
    with pytest.raises(ModelUnusable, match=f"{broken.id[:12]}.*{prompt.id}"):
        sample(models, broken, [prompt], 1, WARM)


def test_prompts_without_images_are_answered(
    models: Models, version: Version, tmp_path: Path, blobs: FileBlobs
) -> None:
    text_only = make_prompts(5, blobs, images=False)
    mixed = [*make_prompts(3, blobs), *text_only]
    together = sample(models, version, mixed, 2, WARM)
    assert together[6:] == sample(models, version, text_only, 2, WARM)
    language_model = version_of(write_text_model(tmp_path / "model", seed=0))
    assert len({one.text for one in sample(models, language_model, text_only, 2, WARM)}) > 3


def test_uniform_numbers_follow_from_the_seed_alone() -> None:
    assert (uniform_numbers(7, 5) == uniform_numbers(7, 9)[:5]).all()
    assert not (uniform_numbers(7, 5) == uniform_numbers(8, 5)).any()
