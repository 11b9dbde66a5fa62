"""What stands between a prompt and a model: tokenizer, image processor, chat template, and which tokens end a response.

    folder -> Reader -> prompt in the chat template      every engine reads a model's folder in this one way

Ways in which a processor loads without a word and then reads wrongly are refused here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoProcessor,
    AutoTokenizer,
    GenerationConfig,
    logging,
)

from store.errors import ModelUnusable
from store.records import Prompt, digest_of

LOADING_ERRORS = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError)
"""What `from_pretrained` raises for an incomplete or unknown folder."""


@dataclass(frozen=True)
class Reader:
    """Reads the prompts of a model."""

    name: str
    """For messages: the version's source and the start of its id."""
    processor: Any
    """A processor, or the bare tokenizer of a text-only model."""
    sees_images: bool
    identity: str
    """Digest of the processor: models with the same one read the same batches."""
    stop_ids: frozenset[int]
    """Tokens that end a response."""
    placeholder_ids: frozenset[int]
    """Tokens that stand for pixels: in a response, a forward pass would look for an image that is not there."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, inside the processor where there is one."""
        return self.processor.tokenizer if self.sees_images else self.processor

    def chat(self, prompt: Prompt) -> str:
        """The prompt in the model's chat template, images first, the turn handed to the assistant.

        ModelUnusable if the prompt has an image and the model reads none.
        """
        content: str | list[dict[str, str]] = prompt.question
        if self.sees_images:
            content = [*({"type": "image"} for _ in prompt.images), {"type": "text", "text": prompt.question}]
        elif prompt.images:
            raise ModelUnusable(
                f"{self.name}: it reads no images, but prompt {prompt.id} has one; choose another model"
            )
        turns = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)

    def tokens_of(self, response: str) -> tuple[int, ...]:
        """What the model would have drawn to say a response, the token that ends it included."""
        tokens = self.tokenizer(response, add_special_tokens=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        return (*tokens, end if end in self.stop_ids else min(self.stop_ids))

    def adds_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer may add its own: a template that writes the start token must not get a second one."""
        bos = self.tokenizer.bos_token
        return not (bos and text.startswith(bos))


def load_reader(folder: str, *, name: str) -> Reader:
    """The reader of a `from_pretrained` folder. ModelUnusable if it cannot be loaded, or would ignore images."""
    try:
        with quietly():
            config = AutoConfig.from_pretrained(folder)
            sees_images = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            processor = (AutoProcessor if sees_images else AutoTokenizer).from_pretrained(folder)
    except LOADING_ERRORS as error:
        raise ModelUnusable(f"{name}: cannot be loaded: {error}; is the folder complete?") from error
    if sees_images and getattr(processor, "image_processor", None) is None:
        # What AutoProcessor returns when the processor's class is unknown here: images would be ignored.
        raise ModelUnusable(
            f"{name}: its processor came back as {type(processor).__name__}, which ignores images;"
            " install what its processor needs, or register its class with AutoProcessor"
        )
    if processor.chat_template is None:
        raise ModelUnusable(f"{name}: it has no chat template; add chat_template.jinja to its folder")
    tokenizer = processor.tokenizer if sees_images else processor
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    stop_ids = _stop_ids(folder, config, tokenizer)
    if not stop_ids:
        raise ModelUnusable(f"{name}: no token ends a response; set eos_token_id in generation_config.json")
    ids = (getattr(config, key, None) for key in ("image_token_id", "video_token_id"))
    placeholder_ids = frozenset(id for id in ids if id is not None)
    return Reader(name, processor, sees_images, _identity(processor, sees_images), stop_ids, placeholder_ids)


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


def forget_padding(tokenizer: Any) -> None:
    """A fast tokenizer remembers the padding of its last call; each of our calls states it anew."""
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()


def _stop_ids(folder: str, config: Any, tokenizer: Any) -> frozenset[int]:
    try:
        eos = GenerationConfig.from_pretrained(folder).eos_token_id
    except OSError:  # the folder has none: transformers then takes what the model's config says
        eos = GenerationConfig.from_model_config(config).eos_token_id
    ids = eos if isinstance(eos, list) else [eos]
    return frozenset(id for id in (*ids, tokenizer.eos_token_id) if id is not None)


def _identity(processor: Any, sees_images: bool) -> str:
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
