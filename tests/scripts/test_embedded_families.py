"""Packed training sequences are what the saved model will read: same tokens, same logits; one token a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from loop.embedded.architecture import save
from loop.embedded.llava_architecture import build_processor
from loop.world.questions import Question
from loop.world.vocabulary import world_words
from scripts.embedded_families import FAMILIES, Size, new_member
from scripts.embedded_pair_batches import Lesson, pack
from scripts.train_embedded_pair import response_logits

QUESTIONS = [
    Question("chart_read", "chart", "what is the value of jun ?", "jun 3", "3"),
    Question("shape_colour", "perception", "what color is the square ?", "blue square", "blue"),
]


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_packed_sequence_is_what_the_saved_model_reads(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    model, processor = new_member(name, Size(hidden=64, heads=2, text_layers=2, vision_layers=1), 0)
    with torch.no_grad():
        model.lm_head.weight.mul_(50)
        for weight in model.parameters():  # `save` rounds to bfloat16: what is compared must be rounded alike
            weight.copy_(weight.to(torch.bfloat16))
    save(model, processor, tmp_path)
    saved, reader = (
        AutoModelForImageTextToText.from_pretrained(tmp_path).eval(),
        AutoProcessor.from_pretrained(tmp_path),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    batch = pack(family.wording(processor), [Lesson(pixels, QUESTIONS, [("none",)] * 36)])
    with torch.inference_mode():
        packed, places = response_logits(model, family.text_tower(model), batch, family.see(model, batch.pixels))
        for number, question in enumerate(QUESTIONS):
            content = [{"type": "image"}, {"type": "text", "text": question.text}]
            prompt = reader.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            response = reader.tokenizer(question.response, add_special_tokens=False)["input_ids"]
            inputs = reader(text=[prompt], images=[[Image.fromarray(pixels)]], return_tensors="pt")
            ids = torch.cat([inputs.input_ids, torch.tensor([response])], dim=1)
            alone = saved(input_ids=ids, pixel_values=inputs.pixel_values, use_cache=False).logits
            mine = batch.owners[places] == number
            torch.testing.assert_close(packed[mine], alone[0, -len(response) - 1 :], rtol=1e-3, atol=1e-3)
            assert batch.targets[places][mine].tolist() == [*response, reader.tokenizer.eos_token_id]


def test_every_word_of_the_world_is_one_token_of_the_second_family_and_others_are_spelled() -> None:
    tokenizer = build_processor(world_words(), image_size=96, patch=16).tokenizer
    assert [tokenizer.tokenize(word) for word in world_words()] == [["▁" + word] for word in world_words()]
    assert tokenizer.tokenize("zebra?") != [tokenizer.unk_token]
    assert tokenizer.decode(tokenizer("a zebra ? Answer: 3")["input_ids"]) == "a zebra ? Answer: 3"
