"""A LoRA adapter, merged into its model once: what comes out is a folder like any other, for every engine.

model folder + adapter folder -> merged folder -> checkpoint store -> "checkpoint:<digest>"
"""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError

from loop.adapters.models import CHECKPOINT, load, source_folder
from loop.adapters.reading import quietly
from loop.ports import Checkpoints
from store.errors import ModelUnusable


def merged_source(source: str, adapter: str, checkpoints: Checkpoints) -> str:
    """The source of a model with a LoRA adapter merged into it, computed on the CPU in float32.

    The same two folders give the same checkpoint, which is stored once. ModelUnusable if they do not fit.
    """
    loaded = load(source_folder(source, checkpoints), name=source, device="cpu", dtype=torch.float32)
    try:
        model = with_adapter(loaded.model, adapter)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelUnusable(
            f"{source}: the adapter {adapter} does not fit: {error}; name the model that it was trained on"
        ) from error
    with quietly(), TemporaryDirectory() as scratch:
        folder = Path(scratch) / "merged"
        model.save_pretrained(folder)
        loaded.processor.save_pretrained(folder)
        return CHECKPOINT + checkpoints.add(folder)


def with_adapter(model: Any, adapter: str) -> Any:
    """The model with the adapter's weights added to its own. ValueError if any of them has no place, or is missing."""
    from peft import PeftConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT only warns of missing weights, and leaves these random
        wrapped = get_peft_model(model, PeftConfig.from_pretrained(adapter))
        result = wrapped.load_adapter(adapter, "default")
    astray = [*result.missing_keys, *result.unexpected_keys]
    if astray:
        raise ValueError(f"{len(astray)} weights are missing or have no place, the first is {astray[0]}")
    return wrapped.merge_and_unload()
