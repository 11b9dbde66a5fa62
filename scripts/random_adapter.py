"""A version that is an adapter of random weights on another one, in a folder as a training leaves it."""

from __future__ import annotations

from pathlib import Path

import torch

from loop.adapters.adapting import ADAPTER, make_trainable, merge_adapter, save_adapter
from loop.adapters.models import load
from loop.training_settings import Lora


def write_adapted(folder: Path, base: str, base_id: str, lora: Lora, *, seed: int, size: float = 0.1) -> Path:
    """Write the merged model, and the adapter beside it.

    Args:
        folder: a new one.
        base: folder of the version that is adapted.
        base_id: its id.
        lora: rank and layers.
        seed: of the weights.
        size: standard deviation of B's entries; PEFT begins with zeros, an adapter that changes nothing.
    """
    loaded = load(base, name="base", device="cpu", dtype=torch.float32)
    make_trainable(loaded.model, lora, seed)
    random = torch.Generator().manual_seed(seed)
    for name, weight in loaded.model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=size, generator=random)
    save_adapter(loaded.model, base_id, folder / ADAPTER)
    merge_adapter(loaded.model)
    loaded.model.save_pretrained(folder)
    loaded.processor.save_pretrained(folder)
    return folder
