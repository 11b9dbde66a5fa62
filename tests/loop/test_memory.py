"""The memory that models need, foreseen from their configurations alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from loop.memory import GIB, ModelSize, gib, model_size
from tests.tiny_models import write_model, write_text_model

EMBEDDED = Path(__file__).parents[2] / "loop" / "embedded"


def test_parameters_are_counted_without_the_weights(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "model", seed=0)
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    size = model_size(str(folder))
    assert size is not None
    assert size.parameters == model.num_parameters()
    assert size.weights("float32") == 2 * size.weights("bfloat16") == 4 * size.parameters


def test_the_cache_is_keys_and_values_of_all_layers(tmp_path: Path) -> None:
    size = model_size(str(write_model(tmp_path / "model", seed=0)))
    assert size is not None
    assert size.cache_values == 2 * 2 * 64  # keys and values, two layers, two heads that fill the hidden size
    assert size.cache("bfloat16", 10) == 2 * 10 * size.cache_values


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen3-VL-235B-A22B-Thinking", 235_000_000_000),
        ("HuggingFaceTB/SmolVLM-256M-Instruct", 256_000_000),
        ("org/model-1.5B", 1_500_000_000),
        ("org/model-v2", None),
    ],
)
def test_a_model_that_is_not_here_is_as_large_as_its_name_says(name: str, parameters: int | None) -> None:
    size = model_size(name)
    assert (size and size.parameters) == parameters
    if size is not None:
        assert "by its name" in size.told
        assert size.cache("float32", 100) == 0


@given(st.integers(0, 10**13))
def test_sizes_are_told_in_a_few_digits(number: int) -> None:
    assert len(gib(number)) <= 14
    assert ModelSize(number, None).told.endswith("parameters")
    assert gib(GIB) == "1 GiB"
