"""What of a student is trained: all of its weights, or a LoRA adapter that is merged into them at the end.

The adapter lives inside the model (arXiv 2106.09685), so checkpoints and resumes hold it like any other weight, and
what comes out is a whole folder for every engine.
"""

from __future__ import annotations

from typing import Any

import torch

from loop.training_settings import Lora
from store.errors import UsageError
from store.records import derive_seed


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


def merge_adapter(model: Any) -> None:
    """Add what an adapter has learnt to the weights beneath it, if there is one, and take it out."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)]
    for name, layer in adapted:
        layer.merge()
        model.set_submodule(name, layer.get_base_layer())
