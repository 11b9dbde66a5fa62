"""Architecture of the second embedded family: LLaVA of a SigLIP tower and a Qwen3 text tower, with its own tokenizer.

It shares no code, no vocabulary and no prompt format with `architecture`, so that a prompt set that was made for one
family can be tried on another. A picture of ``image_size`` × ``image_size`` pixels becomes ``(image_size / patch)²``
image tokens::

    <|user|><image>…<image> question words<|assistant|> response words<|end|>

The tokenizer is a byte-pair encoding whose merges make one token of each word of the vocabulary; other words are
spelled in letters. Both objects are the stock classes of ``transformers``, as those of the first family are.
"""

from collections.abc import Sequence

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen3Config,
    SiglipVisionConfig,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from loop.embedded.architecture import MAX_POSITIONS, PUNCTUATION

IMAGE_TOKEN = "<image>"
USER_TOKEN = "<|user|>"
ASSISTANT_TOKEN = "<|assistant|>"
END_TOKEN = "<|end|>"
"""Ends a response; the end-of-sequence token of tokenizer, model and generation config alike."""

SPECIAL_TOKENS = ("<|pad|>", "<|unk|>", USER_TOKEN, ASSISTANT_TOKEN, END_TOKEN, IMAGE_TOKEN)
WORD_START = "▁"
LETTERS = [WORD_START, *map(chr, range(ord("!"), ord("~") + 1))]

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|assistant|>' if message['role'] == 'assistant' else '<|user|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build_processor(words: Sequence[str], *, image_size: int, patch: int) -> LlavaProcessor:
    """Builds the processor: tokenizer with a token for each of ``words``, chat template and PIL image processor.

    Args:
        words: The vocabulary, one entry per word or number.
        image_size: Side of the square that the model sees; other pictures are scaled to it.
        patch: Side of the square of pixels that becomes one image token.
    """
    square = {"height": image_size, "width": image_size}
    return LlavaProcessor(
        # vLLM asks for the size of the crop, whether pictures are cropped or not.
        SiglipImageProcessorPil(size=square, crop_size=square, do_center_crop=False),
        _build_tokenizer(words),
        patch_size=patch,
        vision_feature_select_strategy="full",
        image_token=IMAGE_TOKEN,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(
    processor: LlavaProcessor,
    *,
    hidden: int,
    text_layers: int,
    vision_layers: int,
    heads: int,
    image_size: int,
    patch: int,
    seed: int,
) -> LlavaForConditionalGeneration:
    """Builds a float32 model with weights drawn from ``seed``; the global random state is left as it was.

    Args:
        processor: Gives the vocabulary and the ids of the special tokens.
        hidden: Width of both towers; ``hidden / heads`` must be 32, 64 or 128, which vLLM's kernels take.
        heads: Attention heads of both towers.
        image_size, patch: As in `build_processor`.

    Raises:
        ValueError: If the sizes do not fit each other.
    """
    if hidden % heads or hidden // heads not in (32, 64, 128):
        raise ValueError(f"hidden {hidden} over heads {heads} must give a head of 32, 64 or 128")
    tokenizer = processor.tokenizer
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlavaConfig(
        text_config=Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=hidden * 5 // 2,
            num_hidden_layers=text_layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=hidden // heads,
            max_position_embeddings=MAX_POSITIONS,
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
            **ids,
        ),
        vision_config=SiglipVisionConfig(
            hidden_size=hidden,
            intermediate_size=hidden * 4,
            num_hidden_layers=vision_layers,
            num_attention_heads=heads,
            image_size=image_size,
            patch_size=patch,
            vision_use_head=False,
        ),
        image_token_index=processor.image_token_id,
        image_seq_length=(image_size // patch) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
        **ids,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config)


def _build_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Learns the merges from the words themselves, until each word is one token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<|unk|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"[?!,;.]$"), behavior="isolated"),
            pre_tokenizers.Metaspace(WORD_START, prepend_scheme="always"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(WORD_START, prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=10_000,  # more than there are merges: it stops when each word is one token
        min_frequency=0,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=LETTERS,
        show_progress=False,
    )
    tokenizer.train_from_iterator([*PUNCTUATION, *dict.fromkeys(words)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_TOKEN,
        pad_token="<|pad|>",
        unk_token="<|unk|>",
        additional_special_tokens=[USER_TOKEN, ASSISTANT_TOKEN, END_TOKEN, IMAGE_TOKEN],
        padding_side="left",
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
