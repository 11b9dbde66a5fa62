"""Prompts to unit vectors: [what the model sees ; what it reads], or a named sentence-transformers model.

prompt -> vision features (mean) | hidden states of the question's tokens (mean) -> both unit -> joined -> unit
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loop.adapters.encoding import PER_TOKEN, open_image, positions
from loop.adapters.models import Loaded, Models
from store.errors import ModelUnusable
from store.records import Prompt, Version

if TYPE_CHECKING:
    from loop.ports import Blobs

BATCH = 64


class ModelEmbedder:
    """Embeds with the own encoder of a model version."""

    def __init__(self, models: Models, version: Version) -> None:
        self._models = models
        self._version = version

    @property
    def name(self) -> str:
        """Identity: the version whose encoder it is."""
        return f"own:{self._version.id[:16]}"

    def embed(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Float32 [n, 2 d], rows of unit norm; the image half of a prompt without images is zero."""
        loaded = self._models.get(self._version)
        parts = [self._embed(loaded, prompts[start : start + BATCH]) for start in range(0, len(prompts), BATCH)]
        width = 2 * loaded.model.config.get_text_config().hidden_size
        return np.concatenate(parts) if parts else np.zeros((0, width), dtype=np.float32)

    @torch.no_grad()
    def _embed(self, loaded: Loaded, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        batch = self._models.encode(loaded, prompts)
        text = _unit(_question_states(loaded, batch))
        image = torch.zeros_like(text)
        seen = [row for row, prompt in enumerate(prompts) for _ in prompt.images]
        if seen:
            rows = torch.tensor(seen, device=text.device)
            image = _unit(image.index_add(0, rows, _image_features(loaded, batch)))
        return _unit(torch.cat([image, text], -1)).cpu().numpy()


class SentenceTransformerEmbedder:
    """Embeds with a named sentence-transformers model (extra `text-encoder`); a CLIP model sees the images too."""

    def __init__(self, name: str, blobs: Blobs, *, device: str = "cpu") -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ModelUnusable(
                f"embedding model {name}: sentence-transformers is not installed; pip install 'deltaloop[text-encoder]'"
            ) from error
        try:
            self._model: Any = SentenceTransformer(name, device=device, model_kwargs={"use_safetensors": True})
        except (OSError, ValueError) as error:
            raise ModelUnusable(f"embedding model {name}: cannot be loaded: {error}; check the name") from error
        self._name = name
        self._blobs = blobs
        self._sees_images = "CLIP" in type(self._model[0]).__name__

    @property
    def name(self) -> str:
        """Identity: the model's name, and whether images count."""
        return f"st:{self._name}" + ("+image" if self._sees_images else "")

    def embed(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Float32 [n, d] of a text encoder, or [n, 2 d] of one that sees images; rows of unit norm."""
        text = _unit(torch.as_tensor(self._encode([prompt.question for prompt in prompts])))
        if not self._sees_images:
            return text.numpy()
        image = torch.zeros_like(text)
        for row, prompt in enumerate(prompts):
            if prompt.images:
                pictures = [open_image(self._blobs, digest) for digest in prompt.images]
                image[row] = torch.as_tensor(self._encode(pictures)).mean(0)
        return _unit(torch.cat([_unit(image), text], -1)).numpy()

    def _encode(self, inputs: Sequence[object]) -> NDArray[np.float32]:
        return self._model.encode(inputs, convert_to_numpy=True, show_progress_bar=False)


def _question_states(loaded: Loaded, batch: dict[str, Tensor]) -> Tensor:
    """Mean hidden state [prompts, d] over words: no padding, no special token, no image token."""
    mask = batch["attention_mask"]
    placed = positions(loaded.model, batch)
    hidden = loaded.model.base_model(**batch, position_ids=placed, use_cache=False).last_hidden_state.float()
    special = torch.tensor(loaded.tokenizer.all_special_ids, device=mask.device)
    words = (mask.bool() & ~torch.isin(batch["input_ids"], special)).unsqueeze(-1)
    return (hidden * words).sum(1) / words.sum(1).clamp_min(1)


def _image_features(loaded: Loaded, batch: dict[str, Tensor]) -> Tensor:
    """Mean vision feature [images, d] after the connector, in the order of the images."""
    inputs = {key: value for key, value in batch.items() if key not in PER_TOKEN}
    features = loaded.model.get_image_features(**inputs).pooler_output
    return torch.stack([one.float().mean(0) for one in features])


def _unit(vectors: Tensor) -> Tensor:
    """Rows at unit norm; zero rows stay zero."""
    return torch.nn.functional.normalize(vectors, dim=-1)
