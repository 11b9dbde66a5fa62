"""Embeddings from a tiny random model's own encoder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from loop.adapters.embedder import ModelEmbedder, SentenceTransformerEmbedder
from loop.adapters.models import Models
from store.blobs import FileBlobs
from store.errors import ModelUnusable
from store.records import Prompt, Version
from tests.tiny_models import make_prompts, picture, version_of, write_model, write_text_model


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return version_of(write_model(tmp_path / "model", seed=0))


def test_rows_are_unit_vectors_of_two_equal_halves(models: Models, version: Version, blobs: FileBlobs) -> None:
    embedder = ModelEmbedder(models, version)
    vectors = embedder.embed(make_prompts(5, blobs))
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, 128)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :64], axis=1), np.sqrt(0.5), atol=1e-6)
    assert (vectors == embedder.embed(make_prompts(5, blobs))).all()
    assert embedder.name == f"own:{version.id[:16]}"
    assert embedder.embed([]).shape == (0, 128)


def test_the_halves_follow_picture_and_question(models: Models, version: Version, blobs: FileBlobs) -> None:
    first, second = blobs.put(picture(1)), blobs.put(picture(None))
    prompts = [
        Prompt.make("how many is this", [first]),
        Prompt.make("how many is this", [second]),
        Prompt.make("what thing", [first]),
    ]
    image, text = np.split(ModelEmbedder(models, version).embed(prompts), 2, axis=1)
    np.testing.assert_allclose(image[0], image[2], atol=1e-6)
    assert np.abs(image[0] - image[1]).max() > 1e-3
    assert np.abs(text[0] - text[2]).max() > 1e-3


def test_the_image_half_is_the_mean_of_the_vision_features(models: Models, version: Version, blobs: FileBlobs) -> None:
    text_only = make_prompts(1, blobs, images=False)[0]
    pictured = make_prompts(4, blobs)[3]
    two_pictures = Prompt.make("what is this", [pictured.images[0], blobs.put(picture(99))])
    loaded = models.get(version)
    batch = models.encode(loaded, [pictured])
    with torch.no_grad():
        features = loaded.model.get_image_features(batch["pixel_values"]).pooler_output[0].mean(0)
    vectors = ModelEmbedder(models, version).embed([text_only, pictured, two_pictures])
    expected = torch.nn.functional.normalize(features, dim=0).numpy() * np.sqrt(0.5)
    np.testing.assert_allclose(vectors[1, :64], expected, atol=1e-5)
    assert (vectors[0, :64] == 0).all()
    assert np.abs(vectors[2, :64] - vectors[1, :64]).max() > 1e-4
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_padding_does_not_move_a_vector(models: Models, version: Version, blobs: FileBlobs) -> None:
    prompts = make_prompts(6, blobs)
    embedder = ModelEmbedder(models, version)
    alone = np.concatenate([embedder.embed([prompt]) for prompt in prompts])
    np.testing.assert_allclose(embedder.embed(prompts), alone, atol=1e-5)


def test_a_text_only_model_embeds_the_question(models: Models, tmp_path: Path, blobs: FileBlobs) -> None:
    version = version_of(write_text_model(tmp_path / "text", seed=0))
    vectors = ModelEmbedder(models, version).embed(make_prompts(4, blobs, images=False))
    assert (vectors[:, :64] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is not None, reason="the extra is installed")
def test_a_named_encoder_without_its_extra_says_what_to_install(blobs: FileBlobs) -> None:
    with pytest.raises(ModelUnusable, match="text-encoder"):
        SentenceTransformerEmbedder("some/encoder", blobs)
