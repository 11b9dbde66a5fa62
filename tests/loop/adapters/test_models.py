"""Resolving, loading and encoding, on tiny random models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    GPT2Config,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
)

from loop.adapters.encoding import _processed, positions
from loop.adapters.models import Models, resolve_version, source_folder
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints, folder_digest
from store.errors import ModelUnusable, UnreadableImage
from store.records import Prompt, Role
from tests.tiny_models import make_prompts, picture, version_of, write_model, write_text_model


def test_a_version_is_the_digest_of_its_files_whatever_names_it(tmp_path: Path, checkpoints: FileCheckpoints) -> None:
    folder = write_model(tmp_path / "model", seed=0)
    expected = folder_digest(folder)
    from_folder = resolve_version(str(folder), Role.STUDENT, checkpoints)
    stored = checkpoints.add(folder)
    from_store = resolve_version(f"checkpoint:{stored}", Role.STUDENT, checkpoints)
    assert from_folder.id == from_store.id == expected


@pytest.mark.parametrize("source", ["embedded:nobody", f"checkpoint:{'0' * 64}"])
def test_an_absent_source_is_refused_by_name(source: str, checkpoints: FileCheckpoints) -> None:
    with pytest.raises(ModelUnusable, match=source):
        source_folder(source, checkpoints)


def test_a_vision_model_whose_processor_is_a_bare_tokenizer_is_refused(tmp_path: Path, models: Models) -> None:
    """An image-text model for which transformers has no processor: AutoProcessor gives the tokenizer without a word."""
    folder = write_text_model(tmp_path / "model", seed=0)
    seeing = ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32)
    speaking = GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50, is_decoder=True, add_cross_attention=True)
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(seeing, speaking)
    VisionEncoderDecoderModel(config).save_pretrained(folder)
    with pytest.raises(ModelUnusable, match="ignores images"):
        models.get(version_of(folder))


def test_missing_weights_are_refused_rather_than_filled_with_noise(tmp_path: Path, models: Models) -> None:
    folder = write_model(tmp_path / "model", seed=0)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnusable, match=r"the first is lm_head\.weight"):
        models.get(version_of(folder))


def test_pickled_weights_are_never_loaded(tmp_path: Path, models: Models) -> None:
    folder = write_model(tmp_path / "model", seed=0)
    loaded = models.get(version_of(folder))
    (folder / "model.safetensors").unlink()
    torch.save(loaded.model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        models.get(version_of(folder))


def test_the_three_models_last_used_stay_loaded(tmp_path: Path, models: Models) -> None:
    versions = [version_of(write_text_model(tmp_path / str(seed), seed=seed)) for seed in range(4)]
    first, second, third = (models.get(version) for version in versions[:3])
    assert models.get(versions[0]) is first
    models.get(versions[3])  # takes the place of the second, which was used the longest ago
    assert models.get(versions[0]) is first
    assert models.get(versions[2]) is third
    assert models.get(versions[1]) is not second


def test_a_batch_is_padded_on_the_left_and_ends_with_the_assistants_turn(
    tmp_path: Path, models: Models, blobs: FileBlobs
) -> None:
    loaded = models.get(version_of(write_model(tmp_path / "model", seed=0)))
    prompts = [*make_prompts(3, blobs), *make_prompts(2, blobs, images=False)]
    batch = models.encode(loaded, prompts)
    assert (batch["input_ids"][:, -1] == loaded.tokenizer.convert_tokens_to_ids("<assistant>")).all()
    assert batch["attention_mask"].diff(dim=1).min() == 0  # 0 ... 0 1 ... 1
    assert batch["attention_mask"].min() == 0
    shown = (batch["input_ids"] == loaded.model.config.image_token_id).sum(1).tolist()
    assert shown == [16, 16, 16, 0, 0]


def test_a_batch_of_kept_prompts_is_what_the_processor_makes_of_all_at_once(
    tmp_path: Path, models: Models, blobs: FileBlobs
) -> None:
    loaded = models.get(version_of(write_model(tmp_path / "model", seed=0)))
    prompts = make_prompts(5, blobs)
    expected = _processed(loaded, prompts, blobs)
    models.encode(loaded, prompts[2:])
    for prompt in prompts[2:]:
        blobs.path(prompt.images[0]).unlink()  # never read again
    batch = models.encode(loaded, prompts)
    assert batch.keys() == expected.keys()
    assert all(torch.equal(batch[key], expected[key]) for key in batch)


def test_prompts_with_several_images_share_a_batch(tmp_path: Path, models: Models, blobs: FileBlobs) -> None:
    loaded = models.get(version_of(write_model(tmp_path / "model", seed=0)))
    one, other = make_prompts(2, blobs)
    two = Prompt.make("what is this", [*one.images, *other.images])
    batch = models.encode(loaded, [two, one])
    assert (batch["input_ids"] == loaded.model.config.image_token_id).sum(1).tolist() == [32, 16]
    with torch.no_grad():
        together = loaded.model(**batch, position_ids=positions(loaded.model, batch)).logits[:, -1]
        alone = torch.cat([loaded.model(**models.encode(loaded, [some])).logits[:, -1] for some in (two, one)])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("data", [picture(1)[:-80], b"GIF89a nonsense", b""])
def test_an_image_that_does_not_decode_is_named(data: bytes, tmp_path: Path, models: Models, blobs: FileBlobs) -> None:
    loaded = models.get(version_of(write_model(tmp_path / "model", seed=0)))
    digest = blobs.put(data)
    with pytest.raises(UnreadableImage, match=digest):
        models.encode(loaded, [Prompt.make("what is this", [digest])])


def test_a_text_model_refuses_an_image_rather_than_ignoring_it(
    tmp_path: Path, models: Models, blobs: FileBlobs
) -> None:
    loaded = models.get(version_of(write_text_model(tmp_path / "model", seed=0)))
    prompt = make_prompts(1, blobs)[0]
    with pytest.raises(ModelUnusable, match=prompt.id):
        models.encode(loaded, [prompt])


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path, models: Models) -> None:
    folder = write_text_model(tmp_path / "model", seed=0)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelUnusable, match="chat template"):
        models.get(version_of(folder))


def test_a_damaged_folder_is_a_clear_error(tmp_path: Path, models: Models) -> None:
    folder = write_model(tmp_path / "model", seed=0)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnusable, match="cannot be loaded"):
        models.get(version_of(folder))
