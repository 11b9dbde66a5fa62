"""Prompts to batches that a model reads: chat template, images, left padding.

    prompt -> (text in the template, RGB images) -> the model's processor -> kept -> padded and joined into a batch

A prompt is read many times: by teacher and student, in each round, in each training step. What its processor made of it
is kept, up to `KEPT_BYTES`, and shared by all models with the same processor; without that, decoding and scaling
pictures took a quarter of the time of sampling from the embedded pair.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from loop.adapters.images import decode
from loop.ports import Blobs
from store.errors import DeltaloopError, UnreadableImage
from store.records import Prompt

if TYPE_CHECKING:
    from loop.adapters.models import Loaded

KEPT_BYTES = 400_000_000
PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""What of a batch has one entry per token [prompts, tokens]; the rest describes images, first axis first."""


class Encoder:
    """Encodes prompts, and keeps what it encoded."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._kept: OrderedDict[tuple[str, str], dict[str, Tensor]] = OrderedDict()
        self._kept_bytes = 0

    def encode(self, loaded: Loaded, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
        """One left-padded batch on the model's device, the turn handed to the assistant.

        Returns:
            `input_ids` and `attention_mask` [prompts, tokens], and what the processor makes of the images.

        Raises:
            UnreadableImage: If an image cannot be decoded.
            ModelUnusable: If there is an image and the model reads none.
        """
        batch = _joined([self._single(loaded, prompt) for prompt in prompts], loaded.tokenizer.pad_token_id)
        if batch is None:  # images of several sizes: only the processor knows how it pads them
            batch = _processed(loaded, prompts, self._blobs)
        return {key: value.to(loaded.device) for key, value in batch.items()}

    def _single(self, loaded: Loaded, prompt: Prompt) -> dict[str, Tensor]:
        key = (loaded.identity, prompt.id)
        if key not in self._kept:
            self._kept[key] = _processed(loaded, [prompt], self._blobs)
            self._kept_bytes += _size(self._kept[key])
            while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
                self._kept_bytes -= _size(self._kept.popitem(last=False)[1])
        self._kept.move_to_end(key)
        return self._kept[key]


def positions(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """Position of each token in its own row [rows, tokens], so that left padding shifts nothing.

    Where a model places image tokens on several axes (time, height, width: arXiv 2409.12191, 2.1), there is one more
    axis in front, and a text token's position is the same on all of them.
    """
    mask = batch["attention_mask"]
    if "image_grid_thw" in batch and hasattr(model.base_model, "get_rope_index"):
        told = ("input_ids", "attention_mask", "mm_token_type_ids", "image_grid_thw")
        placed: Tensor = model.base_model.get_rope_index(**{key: batch[key] for key in told})[0]
        return placed
    return (mask.cumsum(-1) - 1).clamp_min(0)


def open_image(blobs: Blobs, digest: str) -> Image.Image:
    """A stored image as RGB. UnreadableImage if its bytes are no whole picture of a bearable size."""
    try:
        return decode(blobs.get(digest))
    except DeltaloopError:
        raise
    except ValueError as error:
        raise UnreadableImage(f"image {digest}: {error}; replace it") from error


def _processed(loaded: Loaded, prompts: Sequence[Prompt], blobs: Blobs) -> dict[str, Tensor]:
    """What the model's processor makes of some prompts, as one batch."""
    images = [[open_image(blobs, digest) for digest in prompt.images] for prompt in prompts]
    texts = [loaded.chat(prompt) for prompt in prompts]
    options: dict[str, Any] = {
        "text": texts,
        "padding": True,
        "return_tensors": "pt",
        "add_special_tokens": loaded.adds_special_tokens(texts[0]),
    }
    if any(images):
        options["images"] = images
    return dict(loaded.processor(**options))


def _joined(singles: Sequence[Mapping[str, Tensor]], pad_id: int) -> dict[str, Tensor] | None:
    """Encoded prompts as one left-padded batch, or None if their images differ in shape."""
    width = max(single["input_ids"].shape[1] for single in singles)
    batch = {}
    for key in dict.fromkeys(key for single in singles for key in single):
        parts = [single[key] for single in singles if key in single]
        if key in PER_TOKEN:
            fill = pad_id if key == "input_ids" else 0
            parts = [torch.nn.functional.pad(part, (width - part.shape[1], 0), value=fill) for part in parts]
        elif len({part.shape[1:] for part in parts}) > 1:
            return None
        batch[key] = torch.cat(parts)
    return batch


def _size(encoded: Mapping[str, Tensor]) -> int:
    return sum(value.nbytes for value in encoded.values())
