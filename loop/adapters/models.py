"""Models from folders: resolve a source to a version, and load it.

    "embedded:teacher"     the folder that this package ships
    "checkpoint:<digest>"  a folder of the checkpoint store
    anything else          a folder, or a hub name (its snapshot on this machine)

    source -> folder -> Version (digest of the folder's files) -> Loaded (model, processor)

Sampler, embedder and trainer share one `Models`, so that teacher, student and candidate are loaded once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

import loop.embedded
from loop.adapters.encoding import Encoder
from loop.adapters.reading import LOADING_ERRORS, Reader, load_reader, quietly
from loop.engine_settings import TransformersEngine
from loop.paths import EMBEDDED_MODELS
from loop.ports import Blobs, Checkpoints
from store.checkpoints import folder_digest
from store.errors import ModelUnusable
from store.records import Prompt, Role, Version

EMBEDDED = "embedded:"
CHECKPOINT = "checkpoint:"
MODELS_IN_USE = 3
"""Teacher, current student and candidate."""
DEFAULT_ENGINE = TransformersEngine()


def source_folder(source: str, checkpoints: Checkpoints) -> str:
    """The folder that a source names.

    Raises:
        ModelUnusable: If there is none; the message says what was looked for.
    """
    if source.startswith(EMBEDDED):
        folder = Path(loop.embedded.__file__).parent / source.removeprefix(EMBEDDED)
        if not (folder / "config.json").is_file():
            raise ModelUnusable(f"{source}: this package ships no such model; use one of {', '.join(EMBEDDED_MODELS)}")
        return str(folder)
    if source.startswith(CHECKPOINT):
        try:
            return str(checkpoints.path(source.removeprefix(CHECKPOINT)))
        except KeyError:
            raise ModelUnusable(f"{source}: there is no such checkpoint here; restore it from a backup") from None
    if Path(source).is_dir():
        return source
    return _snapshot(source)


def resolve_version(source: str, role: Role, checkpoints: Checkpoints) -> Version:
    """The version that a source is now: its id is the digest of the folder's files. ModelUnusable if there is none."""
    return Version(folder_digest(Path(source_folder(source, checkpoints))), role, source)


@dataclass(frozen=True)
class Loaded(Reader):
    """A model in evaluation mode with what reads its prompts."""

    model: Any

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.model.device


def load(
    folder: str,
    *,
    name: str,
    device: str,
    dtype: torch.dtype,
    engine: TransformersEngine = DEFAULT_ENGINE,
    bits: int = 0,
) -> Loaded:
    """Load a `from_pretrained` folder: an image-text model, or a causal language model with its tokenizer.

    The engine says how attention is computed, and whether the model is spread over all GPUs instead of `device`. With
    4 `bits` the linear layers, but for the head, hold NF4 (arXiv 2305.14314).

    Raises:
        ModelUnusable: If it cannot be loaded, or if its processor would silently ignore the images.
    """
    reader = load_reader(folder, name=name)
    model_class = AutoModelForImageTextToText if reader.sees_images else AutoModelForCausalLM
    try:
        with quietly():
            model, report = model_class.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                **_placement(engine),
                **_quantization(bits, dtype, device),
            )
    except LOADING_ERRORS as error:
        raise ModelUnusable(f"{name}: cannot be loaded: {error}; is the folder complete?") from error
    missing = sorted(report["missing_keys"])
    if missing:  # transformers fills them with random numbers
        raise ModelUnusable(
            f"{name}: {len(missing)} of its weights are missing, the first is {missing[0]}; get them all"
        )
    if engine.device_map == "none" and not bits:
        model = model.to(device)
    if bits:
        _keep_packing(model)
    parts = {part.name: getattr(reader, part.name) for part in fields(reader)}
    return Loaded(**parts, model=model.eval().requires_grad_(False))


class Models:
    """The models in use, loaded once each; the least recently used one is dropped."""

    def __init__(
        self,
        blobs: Blobs,
        checkpoints: Checkpoints,
        *,
        device: str = "auto",
        dtype: str = "float32",
        threads: int = 2,
        engines: Mapping[Role, TransformersEngine] | None = None,
    ) -> None:
        self.blobs = blobs
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.checkpoints = checkpoints
        self.dtype = dtype
        self._engines = engines or {}
        self._encoder = Encoder(blobs)
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        torch.set_num_threads(threads)

    def get(self, version: Version) -> Loaded:
        """The model of a version, ready to answer. ModelUnusable if it cannot be loaded."""
        if version.id not in self._loaded:
            while len(self._loaded) >= MODELS_IN_USE:
                self._loaded.popitem(last=False)
            self._loaded[version.id] = self._load(version, getattr(torch, self.dtype))
        self._loaded.move_to_end(version.id)
        return self._loaded[version.id]

    def fresh(self, version: Version, *, bits: int = 0) -> Loaded:
        """A copy of the model for training: float32, or NF4 where it says 4 bits; shared with nobody."""
        return self._load(version, torch.float32, bits)

    def release(self) -> None:
        """Drop all models: their memory is needed by other processes. They are loaded again when asked for."""
        self._loaded.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def encode(self, loaded: Loaded, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
        """One left-padded batch that a model reads; errors as in `Encoder.encode`."""
        return self._encoder.encode(loaded, prompts)

    def _load(self, version: Version, dtype: torch.dtype, bits: int = 0) -> Loaded:
        return load(
            source_folder(version.source, self.checkpoints),
            name=f"{version.source} ({version.id[:12]})",
            device=self.device,
            dtype=dtype,
            engine=self._engines.get(version.role, DEFAULT_ENGINE),
            bits=bits,
        )


def _placement(engine: TransformersEngine) -> dict[str, str]:
    """What `from_pretrained` is told of an engine; what is left to the library is not said."""
    said = {"device_map": engine.device_map, "attn_implementation": engine.attention}
    return {key: value for key, value in said.items() if value not in ("none", "default")}


def _quantization(bits: int, dtype: torch.dtype, device: str) -> dict[str, Any]:
    if not bits:
        return {}
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _keep_packing(model: Any) -> None:
    """Where a CPU computes in bfloat16, bitsandbytes packs weights anew to draw, and no gradient passes them then."""
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False


def _snapshot(name: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"])
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise ModelUnusable(f"{name}: no folder, and no model that the hub gives: {error}; check the name") from error
