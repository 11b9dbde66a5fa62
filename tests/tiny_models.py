"""Random, tiny image-text and text-only models in folders, with prompts and pictures for them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from loop.embedded.architecture import build_model, build_processor
from loop.training_settings import Lora
from scripts.random_adapter import write_adapted
from store.blobs import FileBlobs
from store.checkpoints import folder_digest
from store.records import Prompt, Role, Version

WORDS = ("Answer:", "red", "blue", "one", "two", "three", "what", "how", "many", "is", "this", "thing")
GEOMETRY = {"image_size": 32, "patch": 4, "scale": 2}


def write_model(folder: Path, *, seed: int, sharpness: float = 20.0, words: tuple[str, ...] = WORDS) -> Path:
    """A random image-text model; the sharper, the further apart are its logits."""
    processor = build_processor(words, **GEOMETRY)
    model = build_model(processor, hidden=64, text_layers=2, vision_layers=1, heads=2, seed=seed, **GEOMETRY)
    with torch.no_grad():
        model.lm_head.weight.mul_(sharpness)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_text_model(folder: Path, *, seed: int, sharpness: float = 20.0) -> Path:
    """A random causal language model with the same words, that reads no images."""
    tokenizer = build_processor(WORDS, **GEOMETRY).tokenizer
    tokenizer.chat_template = "{{ messages[0]['content'] }}<assistant>"
    save_llama(folder, tokenizer, seed=seed, sharpness=sharpness)
    return folder


def save_llama(folder: Path, tokenizer: PreTrainedTokenizerFast, *, seed: int, sharpness: float) -> None:
    """Two random Llama layers over a tokenizer's vocabulary."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                eos_token_id=tokenizer.eos_token_id,
                bos_token_id=None,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    with torch.no_grad():
        model.lm_head.weight.mul_(sharpness)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_byte_model(folder: Path, *, seed: int, sharpness: float = 20.0) -> Path:
    """A random causal language model with a token per byte: it can say anything."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ messages[0]['content'] }}<|im_start|>"
    save_llama(folder, tokenizer, seed=seed, sharpness=sharpness)
    return folder


def byte_tokenizer(special: Sequence[str] = ("<|im_start|>", "<|im_end|>")) -> PreTrainedTokenizerFast:
    """A token per byte, and special ones; `<|im_end|>` ends a response."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(special),
        clean_up_tokenization_spaces=False,
    )


def adapted(folder: Path, base: Version, *, seed: int, targets: str = "all-linear", size: float = 0.1) -> Version:
    """A version that is an adapter of rank 4 on another one."""
    lora = Lora(rank=4, alpha=8, targets=targets)
    return version_of(write_adapted(folder, base.source, base.id, lora, seed=seed, size=size))


def version_of(folder: Path, role: Role = Role.STUDENT) -> Version:
    return Version(folder_digest(folder), role, str(folder))


def picture(seed: int | None) -> bytes:
    """Noise, or plain grey."""
    pixels = np.full((32, 32, 3), 128) if seed is None else np.random.default_rng(seed).integers(0, 256, (32, 32, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def make_prompts(num: int, blobs: FileBlobs, *, images: bool = True) -> list[Prompt]:
    """Questions of 1 to 6 words, each on a picture of its own."""
    prompts = []
    for index in range(num):
        words = np.random.default_rng(index).choice(WORDS[1:], 1 + index % 6)
        prompts.append(Prompt.make(" ".join(words), [blobs.put(picture(index))] if images else []))
    return prompts
