"""The two families of embedded models, for their training: how each is built, sees a picture, and writes a sequence.

A family's towers have other classes, names and tokens; the curriculum of `scripts.train_embedded_pair` is one for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from loop.embedded import architecture as idefics3
from loop.embedded import llava_architecture as llava
from loop.embedded.architecture import PUNCTUATION
from loop.world.scenes import IMAGE_SIZE
from loop.world.vocabulary import world_words
from scripts.embedded_pair_batches import Wording

PATCH = 16


@dataclass(frozen=True)
class Size:
    """Of one model."""

    hidden: int
    heads: int
    text_layers: int = 4
    vision_layers: int = 2


@dataclass(frozen=True)
class Family:
    """Models and processors are those of `transformers`, which have no common type."""

    new: Callable[[Size, int], tuple[Any, Any]]
    """A model and its processor, from a size and a seed."""
    wording: Callable[[Any], Wording]
    """Of a processor."""
    see: Callable[[Any, Tensor], Tensor]
    """What a model hands from its vision tower to its text tower, [b, c, d], of pixels [b, 3, side, side]."""
    text_tower: Callable[[Any], Any]


def _new_idefics3(size: Size, seed: int) -> tuple[Any, Any]:
    processor = idefics3.build_processor(world_words(), image_size=IMAGE_SIZE, patch=PATCH, scale=1)
    model = idefics3.build_model(
        processor,
        hidden=size.hidden,
        heads=size.heads,
        text_layers=size.text_layers,
        vision_layers=size.vision_layers,
        image_size=IMAGE_SIZE,
        patch=PATCH,
        scale=1,
        seed=seed,
    )
    return model, processor


def _idefics3_wording(processor: Any) -> Wording:
    words = processor.tokenizer.get_vocab()
    frame, tile = words["<fake_token_around_image>"], words["<global-img>"]
    picture = [frame, tile, *[words[idefics3.IMAGE_TOKEN]] * processor.image_seq_len, frame]
    return Wording(words, len(words), picture, words[idefics3.ASSISTANT_TOKEN], words[idefics3.END_TOKEN])


def _idefics3_see(model: Any, pixels: Tensor) -> Tensor:
    side = pixels.shape[-1] // PATCH
    seen = torch.ones(len(pixels), side, side, dtype=torch.bool)
    patches = model.model.vision_model(pixel_values=pixels, patch_attention_mask=seen).last_hidden_state
    tokens: Tensor = model.model.connector(patches)
    return tokens


def _new_llava(size: Size, seed: int) -> tuple[Any, Any]:
    processor = llava.build_processor(world_words(), image_size=IMAGE_SIZE, patch=PATCH)
    model = llava.build_model(
        processor,
        hidden=size.hidden,
        heads=size.heads,
        text_layers=size.text_layers,
        vision_layers=size.vision_layers,
        image_size=IMAGE_SIZE,
        patch=PATCH,
        seed=seed,
    )
    return model, processor


def _llava_wording(processor: Any) -> Wording:
    tokens = processor.tokenizer.get_vocab()
    words = {word: tokens[llava.WORD_START + word] for word in (*world_words(), *PUNCTUATION)}
    picture = [tokens[llava.USER_TOKEN], *[tokens[llava.IMAGE_TOKEN]] * (IMAGE_SIZE // PATCH) ** 2]
    return Wording(words, len(tokens), picture, tokens[llava.ASSISTANT_TOKEN], tokens[llava.END_TOKEN])


def _llava_see(model: Any, pixels: Tensor) -> Tensor:
    return torch.stack(model.model.get_image_features(pixel_values=pixels).pooler_output)


FAMILIES = {
    "idefics3": Family(_new_idefics3, _idefics3_wording, _idefics3_see, lambda model: model.model.text_model),
    "llava": Family(_new_llava, _llava_wording, _llava_see, lambda model: model.model.language_model),
}


def new_member(family: str, size: Size, seed: int) -> tuple[Any, Any]:
    """An untrained model and its processor; weights as wide as their fan-in asks, which small models need."""
    model, processor = FAMILIES[family].new(size, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            continue
        spread = 1 / math.sqrt(weight[0].numel())
        if name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight", "fc2.weight")):
            spread /= 2
        elif "embed_tokens" in name or "position_embedding" in name:
            spread = 0.5
        elif "lm_head" in name:
            spread = 0.02
        with torch.no_grad():
            weight.normal_(0.0, spread, generator=generator)
    return model, processor
