"""Architecture of the embedded pair: a word-level Idefics3 processor and a small Idefics3 model.

A picture of ``image_size`` × ``image_size`` pixels becomes ``(image_size / patch / scale)²`` image tokens,
framed by three more, and the prompt is the shortest that still separates the turns::

    <fake_token_around_image><global-img><image>…<image><fake_token_around_image> question words <assistant>

The response is plain words, one token per word or number, ended by ``<end_of_utterance>``. Both objects are
the stock classes of ``transformers``: what ``save_pretrained`` writes into one folder is loaded again by
``AutoProcessor`` and ``AutoModelForImageTextToText``, and by vLLM, without torchvision and without a network.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

IMAGE_TOKEN = "<image>"
ASSISTANT_TOKEN = "<assistant>"
END_TOKEN = "<end_of_utterance>"
"""Ends a response; the end-of-sequence token of tokenizer, model and generation config alike."""

SPECIAL_TOKENS = (
    "<pad>",
    "<unk>",
    "<bos>",
    END_TOKEN,
    IMAGE_TOKEN,
    "<fake_token_around_image>",
    "<global-img>",
    ASSISTANT_TOKEN,
)
PUNCTUATION = ("?", "!", ",", ";", ".")
"""Split from the end of a word, so that ``red?`` and ``red`` share a token; always in the vocabulary."""

MAX_POSITIONS = 1024

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<assistant>' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% if not loop.last %}{{ ' ' }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '<end_of_utterance>' }}"
    "{% elif not loop.last %}{{ ' ' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def build_processor(words: Sequence[str], *, image_size: int, patch: int, scale: int) -> Idefics3Processor:
    """Builds the processor: word-level tokenizer, chat template and PIL image processor.

    Args:
        words: The vocabulary, one entry per word or number, such as ``Answer:`` or ``42``; repeats are
            dropped. Anything else is read as ``<unk>``.
        image_size: Side of the square that the model sees; other pictures are scaled to it.
        patch: Side of a vision patch in pixels.
        scale: Side of the square of patches that becomes one image token.
    """
    num_image_tokens = _tokens_per_side(image_size, patch, scale) ** 2
    edge = {"longest_edge": image_size}
    image_processor = Idefics3ImageProcessorPil(
        size=edge,
        max_image_size=edge,
        do_image_splitting=False,
        do_convert_rgb=True,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return Idefics3Processor(
        image_processor,
        _build_tokenizer(words),
        image_seq_len=num_image_tokens,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(
    processor: Idefics3Processor,
    *,
    hidden: int,
    text_layers: int,
    vision_layers: int,
    heads: int,
    image_size: int,
    patch: int,
    scale: int,
    seed: int,
) -> Idefics3ForConditionalGeneration:
    """Builds a float32 model with weights drawn from ``seed``; the global random state is left as it was.

    Args:
        processor: Gives the vocabulary and the ids of the special tokens.
        hidden: Width of both towers; ``hidden / heads`` must be 32, 64 or 128, which vLLM's kernels take.
        heads: Attention heads of both towers.
        image_size, patch, scale: As in `build_processor`.

    Raises:
        ValueError: If the sizes do not fit each other.
    """
    if hidden % heads or hidden // heads not in (32, 64, 128):
        raise ValueError(f"hidden {hidden} over heads {heads} must give a head of 32, 64 or 128")
    if processor.image_seq_len != _tokens_per_side(image_size, patch, scale) ** 2:
        raise ValueError(f"the processor makes {processor.image_seq_len} tokens of a picture: build it alike")
    tokenizer = processor.tokenizer
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Idefics3Config(
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=_round_up(hidden * 8 // 3, 64),
            num_hidden_layers=text_layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=MAX_POSITIONS,
            rms_norm_eps=1e-5,
            tie_word_embeddings=False,
            **ids,
        ),
        vision_config=Idefics3VisionConfig(
            hidden_size=hidden,
            intermediate_size=hidden * 4,
            num_hidden_layers=vision_layers,
            num_attention_heads=heads,
            image_size=image_size,
            patch_size=patch,
        ),
        image_token_id=processor.image_token_id,
        scale_factor=scale,
        tie_word_embeddings=False,
        **ids,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Idefics3ForConditionalGeneration(config)


def save(model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, folder: Path) -> None:
    """Writes weights rounded to bfloat16 beside a config that says float32, and the processor.

    So the files stay small, while ``from_pretrained`` computes in float32 unless told otherwise: loaded as
    bfloat16, `Idefics3VisionEmbeddings` would merge patches (`merged_positions`). The model is left as it was.
    """
    rounded = {name: weight.detach().to(torch.bfloat16) for name, weight in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=rounded)
    processor.save_pretrained(folder)


def _build_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Gives one id per word: special tokens first, then punctuation, then ``words`` in their order."""
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys((*SPECIAL_TOKENS, *PUNCTUATION, *words)))}
    split_words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    split_words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"[?!,;.]$"), behavior="isolated"),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=split_words,
        bos_token="<bos>",
        eos_token=END_TOKEN,
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in ("<pad>", "<unk>", "<bos>")],
        padding_side="left",
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def _tokens_per_side(image_size: int, patch: int, scale: int) -> int:
    """Image tokens along one side of the picture.

    Raises:
        ValueError: If the picture does not divide evenly, or its patches cannot be told apart in float32.
    """
    if image_size % (patch * scale):
        raise ValueError(f"image_size {image_size} must be a multiple of patch {patch} × scale {scale}")
    if merged_positions(image_size // patch, torch.float32):
        raise ValueError(f"{image_size // patch} patches per side are not exact in float32: choose another patch")
    return image_size // (patch * scale)


def merged_positions(side: int, dtype: torch.dtype) -> int:
    """How many of ``side`` patch positions along one axis `Idefics3VisionEmbeddings` merges in ``dtype``.

    It finds the position of patch ``i`` by putting ``i / side``, rounded to the dtype of the pixels, among
    the borders ``k / side``: a value that is rounded down falls into its neighbour's bin. With 12 patches per
    side bfloat16 keeps 9, so the same weights see another picture than in float32, under autocast (float32
    pixels) or in vLLM (which divides in float32 always).
    """
    borders = torch.arange(1 / side, 1.0, 1 / side)
    fractions = torch.arange(side, dtype=torch.float32) * (1.0 / torch.tensor(side))
    bins = torch.bucketize(fractions.clamp(max=1.0 - 1e-6).to(dtype), borders, right=True)
    return side - int(bins.unique().numel())


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
