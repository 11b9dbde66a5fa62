"""A version as a LoRA adapter on vLLM: whether an engine can answer as it, beside the one that it was started on.

    <version>/adapter/ -> Adapter: which version it was trained on, its rank, its layers
    an engine of that version, started for adapters -> a request that carries it, and nothing is loaded but the adapter

vLLM skips what an adapter holds for layers that it does not adapt, without an error: which layers these are is asked of
the model's class before the engine starts. An adapted head it serves, but leaves out of log-probabilities (vLLM's
issue 51594), so such an adapter is not put on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from safetensors import SafetensorError, safe_open

from loop.adapters.adapting import ADAPTER
from store.errors import ModelUnusable

_WEIGHT = re.compile(r"base_model\.model\.(.+)\.lora_[AB]\.weight")
_LANGUAGE = re.compile(r"(^|\.)(language_model|text_model)\.")
"""What transformers calls the text part of a model that reads images."""


@dataclass(frozen=True)
class Adapter:
    """An adapter in its version's folder."""

    folder: str
    base: str
    """Id of the version that it was trained on."""
    rank: int
    layers: tuple[str, ...]


class Reach(StrEnum):
    """The layers that an engine can adapt."""

    NONE = "none"
    LANGUAGE = "language"
    ALL = "all"

    def covers(self, adapter: Adapter) -> bool:
        """Whether no layer of an adapter would be left out."""
        if any(layer.endswith("lm_head") for layer in adapter.layers):
            return False
        if self is Reach.LANGUAGE:
            return all(_LANGUAGE.search(layer) for layer in adapter.layers)
        return self is Reach.ALL


def read_adapter(folder: str) -> Adapter | None:
    """The adapter in a version's folder; None if it holds none, or one with more than low-rank weights of layers.

    The version is a whole model in any case.
    """
    place = Path(folder) / ADAPTER
    try:
        config = json.loads((place / "adapter_config.json").read_text(encoding="utf-8"))
        base, rank = str(config["base_model_name_or_path"]), int(config["r"])
        with safe_open(place / "adapter_model.safetensors", framework="pt") as weights:
            found = [_WEIGHT.fullmatch(name) for name in weights.keys()]  # noqa: SIM118 (no mapping)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError):
        return None
    layers = {match[1] for match in found if match is not None}
    return Adapter(str(place), base, rank, tuple(sorted(layers))) if all(found) else None


def reach_of(folder: str, dtype: str, rank: int) -> Reach:
    """The layers of a model in which vLLM takes adapters of a rank here, by what it says of the model's class."""
    from transformers import AutoConfig
    from vllm.model_executor.models import ModelRegistry, supports_lora, supports_multimodal
    from vllm.platforms import current_platform

    if not rank or rank > max(_rooms()):
        return Reach.NONE
    if dtype == "float32" and not current_platform.is_cpu():  # its GPU kernels are for 16 bits
        return Reach.NONE
    names = AutoConfig.from_pretrained(folder).architectures or []
    known = next((ModelRegistry.models[name] for name in names if name in ModelRegistry.models), None)
    model = known and known.load_model_cls()
    if model is None or not supports_lora(model):
        return Reach.NONE
    towers = not supports_multimodal(model) or getattr(model, "supports_tower_connector_lora", False)
    return Reach.ALL if towers else Reach.LANGUAGE


def lora_options(reach: Reach, rank: int) -> dict[str, Any]:
    """What vLLM is started with to have room for an adapter."""
    if reach is Reach.NONE:
        return {}
    room = min(room for room in _rooms() if room >= rank)
    return {"enable_lora": True, "max_lora_rank": room, "enable_tower_connector_lora": reach is Reach.ALL}


def put_on(llm: Any, adapter: Adapter, *, name: str, number: int) -> Any:
    """Load an adapter into an engine; returns what makes a request one of it. ModelUnusable if vLLM refuses it.

    Args:
        llm: the engine, awake.
        adapter: of the version that the engine was started on.
        name: no other adapter's: the engine's prefix cache knows adapters by it.
        number: likewise, from 1; the engine knows its loaded adapters by it.
    """
    from vllm.lora.request import LoRARequest

    request = LoRARequest(name, number, adapter.folder)
    try:
        llm.llm_engine.add_lora(request)
    except Exception as error:  # an engine in a process of its own passes on any error as a bare Exception
        raise ModelUnusable(f"vLLM does not take the adapter {adapter.folder}: {error}; see `training.lora`") from error
    return request


def _rooms() -> tuple[int, ...]:
    """The ranks for which vLLM makes room."""
    from vllm.config.lora import MaxLoRARanks

    return get_args(MaxLoRARanks)
