"""What of a student is trained: all of its weights, or a LoRA adapter that is merged into them at the end.

The adapter lives inside the model (arXiv 2106.09685), so checkpoints and resumes hold it like any other weight, and
what comes out is a whole folder for every engine. The adapter by itself lies in that folder too, as PEFT writes it:

    <student>/adapter/adapter_config.json, adapter_model.safetensors

An engine that serves adapters takes it beside the version that it was trained on.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from loop.training_settings import Lora
from store.errors import UsageError
from store.records import derive_seed

ADAPTER = "adapter"
"""Folder of the adapter in that of its version."""


def check_quantization(lora: Lora) -> None:
    """UsageError if weights of few bits are asked for, and what holds them is not installed."""
    if lora.bits and importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(
            f"training.lora.bits = {lora.bits}: bitsandbytes is not installed; pip install 'deltaloop[qlora]', or set"
            " bits to 0"
        )


def make_trainable(model: Any, lora: Lora, seed: int) -> None:
    """Choose the weights that move. UsageError if the adapter has no place in the model."""
    if not lora.rank:
        model.requires_grad_(True)
        return
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.targets)
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "lora") % 2**31)
        try:
            inject_adapter_in_model(config, model)
        except ValueError as error:
            raise UsageError(
                f"training.lora.targets = {lora.targets!r} fits no layer of the student: {error}"
            ) from error


def save_adapter(model: Any, base: str, folder: Path) -> None:
    """Write the adapter for the version `base` that it was trained on; nothing where there is none."""
    adapter = {
        f"base_model.model.{name.replace('.default.', '.')}": value.detach().cpu().contiguous()
        for name, value in model.named_parameters()
        if ".lora_" in name
    }
    if not adapter:
        return
    folder.mkdir(parents=True)
    config = copy.copy(model.peft_config["default"])
    config.base_model_name_or_path = base
    config.inference_mode = True
    if not isinstance(config.target_modules, str):
        config.target_modules = sorted(config.target_modules)  # a set: its order is another one in each process
    config.save_pretrained(folder)
    save_file(adapter, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def merge_adapter(model: Any) -> None:
    """Add what an adapter has learnt to the weights beneath it, if there is one, and take it out."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)]
    for name, layer in adapted:
        layer.merge()
        model.set_submodule(name, layer.get_base_layer())
