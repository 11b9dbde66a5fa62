"""How much memory a campaign's models need, foreseen from their configurations: no weights are loaded.

    sampling   weights: parameters x bytes of `models.dtype`
               + KV cache: 2 x layers x KV heads x head size x bytes x tokens, the tokens of all sequences at a time
    training   student: parameters x 16 bytes (float32 weights, gradients and the two moments of AdamW)
               + teacher: its weights, in this process

Activations are not counted: they depend on pictures and responses. Parameters are counted on torch's meta device. Of a
model of the hub that is not on this machine, its name is all there is: `8B` is 8e9 parameters, and a KV cache unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BYTES = {"float32": 4, "bfloat16": 2}
TRAINING_BYTES = 16
PROMPT_TOKENS = 1024
"""Taken as the length of a prompt with its pictures."""
GIB = 1 << 30

_IN_NAME = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([BM])(?![A-Za-z0-9])")


@dataclass(frozen=True)
class ModelSize:
    """What a configuration says about memory."""

    parameters: int
    cache_values: int | None
    """Numbers that the KV cache holds per token; None if unknown."""
    by_name: bool = False

    def weights(self, dtype: str) -> int:
        """Bytes of the weights."""
        return self.parameters * BYTES[dtype]

    def cache(self, dtype: str, tokens: int) -> int:
        """Bytes of a KV cache of so many tokens; 0 if that is unknown."""
        return (self.cache_values or 0) * BYTES[dtype] * tokens

    @property
    def told(self) -> str:
        """The number of parameters, for people."""
        for unit, name in ((10**9, "B"), (10**6, "M")):
            if self.parameters >= unit:
                return f"{self.parameters / unit:.3g} {name} parameters{' by its name' if self.by_name else ''}"
        return f"{self.parameters} parameters"


def model_size(folder_or_name: str) -> ModelSize | None:
    """The size of a model in a folder or of the hub, which is not asked. None if nothing tells."""
    import torch
    from transformers import (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
    )

    try:
        config = AutoConfig.from_pretrained(folder_or_name, local_files_only=True)
    except (OSError, ValueError, KeyError):
        return _by_name(folder_or_name)
    sees_images = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    with torch.device("meta"):
        model = (AutoModelForImageTextToText if sees_images else AutoModelForCausalLM).from_config(config)
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return ModelSize(sum(one.numel() for one in model.parameters()), 2 * text.num_hidden_layers * heads * size)


def hidden_size(folder_or_name: str) -> int | None:
    """The width of a model's text part; None if nothing on this machine tells it."""
    from transformers import AutoConfig

    try:
        return int(AutoConfig.from_pretrained(folder_or_name, local_files_only=True).get_text_config().hidden_size)
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def _by_name(name: str) -> ModelSize | None:
    """Of a mixture of experts such as `235B-A22B`, all parameters are in memory."""
    found = _IN_NAME.search(name.rpartition("/")[2])
    if found is None:
        return None
    return ModelSize(int(float(found[1]) * (10**9 if found[2] == "B" else 10**6)), None, by_name=True)


def gib(num_bytes: float) -> str:
    """For people."""
    return f"{num_bytes / GIB:.3g} GiB" if num_bytes >= GIB / 10 else f"{num_bytes / (1 << 20):.3g} MiB"
