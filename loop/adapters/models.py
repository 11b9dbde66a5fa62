"""Models from folders: resolve a source to a version, and load it.

    "embedded:teacher"     the folder that this package ships
    "checkpoint:<digest>"  a folder of the checkpoint store
    anything else          a folder, or a hub name (its snapshot on this machine)

    source -> folder -> Version (digest of the folder's files) -> Loaded (model, processor)

Sampler, embedder and trainer share one `Models`, so that teacher, student and candidate are loaded once.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    logging,
)

import loop.embedded
from loop.adapters.encoding import Encoder
from loop.engine_settings import TransformersEngine
from loop.ports import Blobs, Checkpoints
from store.checkpoints import folder_digest
from store.errors import ModelUnusable
from store.records import Prompt, Role, Version, digest_of

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
            raise ModelUnusable(f"{source}: this package ships no such model; use embedded:teacher or embedded:student")
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
class Loaded:
    """A model in evaluation mode with what reads its prompts."""

    name: str
    """For messages: the version's source and the start of its id."""
    model: Any
    processor: Any
    """A processor, or the bare tokenizer of a text-only model."""
    sees_images: bool
    reader: str
    """Identity of the processor: models with the same one read the same batches."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, inside the processor where there is one."""
        return self.processor.tokenizer if self.sees_images else self.processor

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.model.device

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a response."""
        eos = self.model.generation_config.eos_token_id
        ids = eos if isinstance(eos, list) else [eos]
        return frozenset(id for id in (*ids, self.tokenizer.eos_token_id) if id is not None)

    @property
    def placeholder_ids(self) -> frozenset[int]:
        """Tokens that stand for pixels: in a response, a forward pass would look for an image that is not there."""
        config = self.model.config
        ids = (getattr(config, name, None) for name in ("image_token_id", "video_token_id"))
        return frozenset(id for id in ids if id is not None)


def load(
    folder: str, *, name: str, device: str, dtype: torch.dtype, engine: TransformersEngine = DEFAULT_ENGINE
) -> Loaded:
    """Load a `from_pretrained` folder: an image-text model, or a causal language model with its tokenizer.

    The engine says how attention is computed, and whether the model is spread over all GPUs instead of `device`.

    Raises:
        ModelUnusable: If it cannot be loaded, or if its processor would silently ignore the images.
    """
    try:
        with quietly():
            sees_images = type(AutoConfig.from_pretrained(folder)) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            model_class = AutoModelForImageTextToText if sees_images else AutoModelForCausalLM
            model, report = model_class.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **_placement(engine)
            )
            processor = (AutoProcessor if sees_images else AutoTokenizer).from_pretrained(folder)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ModelUnusable(f"{name}: cannot be loaded: {error}; is the folder complete?") from error
    _check(name, model, processor, sees_images, sorted(report["missing_keys"]))
    if engine.device_map == "none":
        model = model.to(device)
    model = model.eval().requires_grad_(False)
    loaded = Loaded(name, model, processor, sees_images, _reader(processor, sees_images))
    loaded.tokenizer.padding_side = "left"
    if loaded.tokenizer.pad_token is None:
        loaded.tokenizer.pad_token = loaded.tokenizer.eos_token
    if not loaded.stop_ids:
        raise ModelUnusable(f"{name}: no token ends a response; set eos_token_id in generation_config.json")
    return loaded


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
        self._checkpoints = checkpoints
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._engines = engines or {}
        self._encoder = Encoder(blobs)
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        torch.set_num_threads(threads)

    def get(self, version: Version) -> Loaded:
        """The model of a version, ready to answer. ModelUnusable if it cannot be loaded."""
        if version.id not in self._loaded:
            while len(self._loaded) >= MODELS_IN_USE:
                self._loaded.popitem(last=False)
            self._loaded[version.id] = self._load(version, self._dtype)
        self._loaded.move_to_end(version.id)
        return self._loaded[version.id]

    def fresh(self, version: Version) -> Loaded:
        """A copy of the model for training: float32, shared with nobody."""
        return self._load(version, torch.float32)

    def encode(self, loaded: Loaded, prompts: Sequence[Prompt]) -> dict[str, Tensor]:
        """One left-padded batch that a model reads; errors as in `Encoder.encode`."""
        return self._encoder.encode(loaded, prompts)

    def _load(self, version: Version, dtype: torch.dtype) -> Loaded:
        return load(
            source_folder(version.source, self._checkpoints),
            name=f"{version.source} ({version.id[:12]})",
            device=self.device,
            dtype=dtype,
            engine=self._engines.get(version.role, DEFAULT_ENGINE),
        )


def _placement(engine: TransformersEngine) -> dict[str, str]:
    """What `from_pretrained` is told of an engine; what is left to the library is not said."""
    said = {"device_map": engine.device_map, "attn_implementation": engine.attention}
    return {key: value for key, value in said.items() if value not in ("none", "default")}


@contextmanager
def quietly() -> Iterator[None]:
    """Silences what transformers prints while it reads or writes weights: what matters there is checked here."""
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _check(name: str, model: Any, processor: Any, sees_images: bool, missing: Sequence[str]) -> None:
    """ModelUnusable for each way in which a model loads without a word, and then answers wrongly."""
    if missing:  # transformers fills them with random numbers
        raise ModelUnusable(
            f"{name}: {len(missing)} of its weights are missing, the first is {missing[0]}; get them all"
        )
    if sees_images and getattr(processor, "image_processor", None) is None:
        # What AutoProcessor returns when the processor's class is unknown here: images would be ignored.
        raise ModelUnusable(
            f"{name}: its processor came back as {type(processor).__name__}, which ignores images;"
            " install what its processor needs, or register its class with AutoProcessor"
        )
    if hasattr(model.base_model, "get_rope_index"):
        raise ModelUnusable(
            f"{name}: {type(model).__name__} gives image tokens positions of several axes, which sampling and training"
            " in process do not know yet; choose a model with plain positions"
        )
    if processor.chat_template is None:
        raise ModelUnusable(f"{name}: it has no chat template; add chat_template.jinja to its folder")


def forget_padding(tokenizer: Any) -> None:
    """A fast tokenizer remembers the padding of its last call; each of our calls states it anew."""
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()


def _reader(processor: Any, sees_images: bool) -> str:
    """Digest of all that decides what a processor makes of a prompt."""
    tokenizer = processor.tokenizer if sees_images else processor
    forget_padding(tokenizer)
    parts = {
        "tokenizer": tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else tokenizer.get_vocab(),
        "classes": [type(part).__name__ for part in (processor, tokenizer)],
        "template": processor.chat_template,
        "settings": json.loads(processor.to_json_string()) if sees_images else {},
    }
    return digest_of(parts)


def _snapshot(name: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"])
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise ModelUnusable(f"{name}: no folder, and no model that the hub gives: {error}; check the name") from error
