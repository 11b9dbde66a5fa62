"""Sampling tokens from a model: one prefill, then samples of a prompt share a row for as long as they say the same.

    prompts -> prefill (one row per prompt) -> [draw -> split rows -> forward] until every sample has ended

A row of the batch is one *distinct* prefix of one prompt. Samples that drew the same tokens so far sit on the same row;
when they part, the row of the key-value cache is split, and rows without samples are dropped. Each sample draws from
the uniform numbers of its own seed, so the result is what separate runs would draw; where a model is sure, eight
samples cost little more than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loop.adapters.models import Loaded, positions
from store.errors import ModelUnusable


@dataclass(frozen=True)
class Wanted:
    """What is wanted of one prompt of a batch: a sample per seed."""

    prompt_id: str
    seeds: Sequence[int]


@dataclass(frozen=True)
class Drawn:
    """The tokens of one sample, the one that ended it included."""

    tokens: tuple[int, ...]
    ended: bool
    """False if `max_tokens` cut it off."""


@dataclass
class _Rows:
    """What the rows of the batch are: arrays over rows, and which row each unfinished sample sits on."""

    prompt: NDArray[np.int64]
    sample: NDArray[np.int64]
    """Unfinished samples."""
    row: NDArray[np.int64]
    """The row of each of them."""


@torch.inference_mode()
def draw(
    loaded: Loaded, batch: Mapping[str, Tensor], wanted: Sequence[Wanted], *, temperature: float, max_tokens: int
) -> list[list[Drawn]]:
    """Samples for each prompt of an encoded batch, one per wanted seed; temperature 0 is greedy.

    Tokens that stand for pixels are never drawn.

    Bit for bit repeatable for the same batch and thread count; in another batch the model itself rounds differently.

    Raises:
        ModelUnusable: If the logits are not numbers, with the prompt at which that showed.
    """
    count = [len(own.seeds) for own in wanted]
    uniforms = np.stack([uniform_numbers(seed, max_tokens) for own in wanted for seed in own.seeds])
    tokens = np.zeros(uniforms.shape, dtype=np.int64)
    length = np.zeros(len(uniforms), dtype=np.int64)
    ended = np.zeros(len(uniforms), dtype=bool)
    stop_ids, placeholders = sorted(loaded.stop_ids), sorted(loaded.placeholder_ids)

    mask = batch["attention_mask"]
    start = mask.sum(-1)  # position of the first new token
    output = loaded.model(**batch, position_ids=positions(mask), use_cache=True, logits_to_keep=1)
    cache = output.past_key_values
    rows = _Rows(np.arange(len(wanted)), np.arange(len(uniforms)), np.repeat(np.arange(len(wanted)), count))
    for step in range(max_tokens):
        logits = output.logits[:, -1]
        for bad in np.flatnonzero(~torch.isfinite(logits.amax(-1)).cpu().numpy()):
            raise ModelUnusable(
                f"{loaded.name}: its logits for prompt {wanted[rows.prompt[bad]].prompt_id} are not numbers;"
                " the checkpoint is damaged, or its training diverged"
            )
        logits[:, placeholders] = -torch.inf
        chosen = _choose(logits, rows.row, uniforms[rows.sample, step], temperature)
        tokens[rows.sample, step] = chosen
        length[rows.sample] += 1
        ended[rows.sample] = np.isin(chosen, stop_ids)
        going = ~ended[rows.sample]
        if step + 1 == max_tokens or not going.any():
            break
        origin, fed = _split(rows, chosen, going)
        if not np.array_equal(origin, np.arange(len(output.logits))):
            cache.batch_select_indices(torch.from_numpy(origin).to(loaded.device))
        prompt = torch.from_numpy(rows.prompt).to(loaded.device)
        output = loaded.model(
            input_ids=torch.from_numpy(fed)[:, None].to(loaded.device),
            attention_mask=torch.nn.functional.pad(mask[prompt], (0, step + 1), value=1),
            position_ids=(start[prompt] + step)[:, None],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    drawn = [Drawn(tuple(own[:size].tolist()), bool(end)) for own, size, end in zip(tokens, length, ended, strict=True)]
    borders = [0, *np.cumsum(count).tolist()]
    return [drawn[low:high] for low, high in pairwise(borders)]


def uniform_numbers(seed: int, num: int) -> NDArray[np.float64]:
    """The numbers in [0, 1) that a sample with this seed draws its tokens by."""
    return np.random.Generator(np.random.PCG64(seed)).random(num)


def _choose(
    logits: Tensor, row: NDArray[np.int64], uniform: NDArray[np.float64], temperature: float
) -> NDArray[np.int64]:
    """The next token of each sample, given the logits [rows, vocabulary] and the row of each sample."""
    if temperature == 0:
        return logits.argmax(-1).cpu().numpy()[row]
    # Inverse of the cumulative distribution, in float64: the first token whose cumulative share exceeds the number.
    shares = torch.softmax(logits.double() / temperature, -1).cumsum(-1).cpu()
    own = shares[torch.from_numpy(row)]
    sought = torch.from_numpy(uniform)[:, None] * own[:, -1:]
    return torch.searchsorted(own, sought, right=True)[:, 0].clamp_max(own.shape[1] - 1).numpy()


def _split(
    rows: _Rows, chosen: NDArray[np.int64], going: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Regroup the samples that go on by (row, token); returns each new row's old row, and the token fed to it."""
    pairs = np.stack([rows.row[going], chosen[going]], axis=1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    origin = np.ascontiguousarray(unique[:, 0])
    rows.prompt = rows.prompt[origin]
    rows.sample = rows.sample[going]
    rows.row = inverse.reshape(-1)
    return origin, np.ascontiguousarray(unique[:, 1])
