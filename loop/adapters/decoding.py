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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loop.adapters.encoding import positions
from loop.adapters.models import Loaded
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


@torch.inference_mode()
def draw(
    loaded: Loaded, batch: Mapping[str, Tensor], wanted: Sequence[Wanted], *, temperature: float, max_tokens: int
) -> list[list[Drawn]]:
    """Samples for each prompt of an encoded batch, one per wanted seed; temperature 0 is greedy.

    Tokens that stand for pixels are never drawn. Bit for bit repeatable for the same batch and thread count; in another
    batch the model itself rounds differently.

    Raises:
        ModelUnusable: If the logits are not numbers, with the prompt at which that showed.
    """
    mask = batch["attention_mask"]
    placed = positions(loaded.model, batch)
    start = placed.reshape(-1, *mask.shape).amax((0, 2)) + 1  # position of the first new token
    samples = _Samples(wanted, max_tokens, loaded.stop_ids)
    output = loaded.model(**batch, position_ids=placed, use_cache=True, logits_to_keep=1)
    cache = output.past_key_values
    for step in range(max_tokens):
        logits = output.logits[:, -1]
        _check_numbers(logits, samples, loaded)
        logits[:, sorted(loaded.placeholder_ids)] = -torch.inf
        going = samples.take(
            step, _choose(logits, samples.row, samples.uniforms[samples.unfinished, step], temperature)
        )
        if step + 1 == max_tokens or not going.any():
            break
        origin, fed = samples.split(step, going)
        if not np.array_equal(origin, np.arange(len(logits))):
            cache.batch_select_indices(torch.from_numpy(origin).to(loaded.device))
        prompt = torch.from_numpy(samples.prompt).to(loaded.device)
        output = loaded.model(
            input_ids=torch.from_numpy(fed)[:, None].to(loaded.device),
            attention_mask=torch.nn.functional.pad(mask[prompt], (0, step + 1), value=1),
            position_ids=(start[prompt] + step)[:, None],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    return samples.drawn()


class _Samples:
    """All samples of a batch as they grow, and which row of the batch each unfinished one sits on."""

    def __init__(self, wanted: Sequence[Wanted], max_tokens: int, stop_ids: frozenset[int]) -> None:
        self.wanted = wanted
        self.uniforms = np.stack([uniform_numbers(seed, max_tokens) for own in wanted for seed in own.seeds])
        self.prompt = np.arange(len(wanted))
        """The prompt of each row."""
        self.row = np.repeat(self.prompt, [len(own.seeds) for own in wanted])
        """The row of each unfinished sample."""
        self.unfinished = np.arange(len(self.uniforms))
        self._stop_ids = sorted(stop_ids)
        self._tokens = np.zeros(self.uniforms.shape, dtype=np.int64)
        self._length = np.zeros(len(self.uniforms), dtype=np.int64)
        self._ended = np.zeros(len(self.uniforms), dtype=bool)

    def take(self, step: int, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Append a token to each unfinished sample; returns which of them go on."""
        self._tokens[self.unfinished, step] = chosen
        self._length[self.unfinished] += 1
        ended = np.isin(chosen, self._stop_ids)
        self._ended[self.unfinished] = ended
        return ~ended

    def split(self, step: int, going: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """One row per (row, token) of the samples that go on; returns each new row's old row and its token."""
        self.unfinished = self.unfinished[going]
        pairs = np.stack([self.row[going], self._tokens[self.unfinished, step]], axis=1)
        unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
        origin, fed = np.ascontiguousarray(unique.T)
        self.prompt = self.prompt[origin]
        self.row = inverse.reshape(-1)
        return origin, fed

    def drawn(self) -> list[list[Drawn]]:
        """The samples of each prompt."""
        every = zip(self._tokens, self._length, self._ended, strict=True)
        drawn = iter([Drawn(tuple(tokens[:length].tolist()), bool(ended)) for tokens, length, ended in every])
        return [[next(drawn) for _ in own.seeds] for own in self.wanted]


def uniform_numbers(seed: int, num: int) -> NDArray[np.float64]:
    """The numbers in [0, 1) that a sample with this seed draws its tokens by."""
    return np.random.Generator(np.random.Philox(key=seed)).random(num)


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


def _check_numbers(logits: Tensor, samples: _Samples, loaded: Loaded) -> None:
    broken = np.flatnonzero(~torch.isfinite(logits.amax(-1)).cpu().numpy())
    if len(broken):
        prompt = samples.wanted[samples.prompt[broken[0]]].prompt_id
        raise ModelUnusable(
            f"{loaded.name}: its logits for prompt {prompt} are not numbers; the checkpoint is damaged, or its training"
            " diverged"
        )
