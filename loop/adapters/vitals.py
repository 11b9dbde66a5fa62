"""What the student's responses look like while it is trained, gathered between two logs.

    responses, losses per token, a chunk of logits -> sums -> (over all processes) -> means for the log

Lengths, truncation and repetition come from every response, the divergence from every token. Entropy and the teacher's
support need logits again, which nobody keeps: they are measured on one chunk of tokens per batch. The prompts are
shuffled, so that this is a fair sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Module

from loop.adapters.chunked import CHUNK
from loop.adapters.distilling import Responses
from loop.adapters.rollout_buffer import Rollout

SEQUENCE = 4
"""Tokens of a sequence that counts as repeated where its response holds it before."""
QUARTERS = 4

_NAMES = ("response_tokens", "truncated_share", "rollout_age", "repetition", "entropy", "support_share")
_COUNTS = ("responses", "sequences", "measured")
_PER = {
    "response_tokens": "responses",
    "truncated_share": "responses",
    "rollout_age": "responses",
    "repetition": "sequences",
    "entropy": "measured",
    "support_share": "measured",
}
"""What each sum is divided by."""


class Vitals:
    """Sums since the last log."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys((*_NAMES, *_COUNTS), 0.0)
        self._divergence = torch.zeros(2, QUARTERS, dtype=torch.float64)
        """Sums over tokens in each quarter, and how many tokens."""

    def note_responses(self, rollouts: Sequence[Rollout], step: int) -> None:
        """Responses that a step trains on."""
        sums = self._sums
        for one in rollouts:
            tokens = one.drawn.tokens
            sequences = [tokens[at : at + SEQUENCE] for at in range(len(tokens) - SEQUENCE + 1)]
            sums["responses"] += 1
            sums["response_tokens"] += len(tokens)
            sums["truncated_share"] += not one.drawn.ended
            sums["rollout_age"] += step - one.step
            sums["sequences"] += len(sequences)
            sums["repetition"] += len(sequences) - len(set(sequences))

    def note_losses(self, losses: Tensor, responses: Responses) -> None:
        """The divergence of each response token [tokens], in the order of the mask's ones."""
        rows, places = responses.mask.nonzero().unbind(-1)
        quarters = QUARTERS * places // responses.mask.sum(-1)[rows]
        found = torch.stack([losses.double(), torch.ones_like(losses, dtype=torch.float64)])
        self._divergence.index_add_(1, quarters.cpu(), found.cpu())

    @torch.no_grad()
    def note_logits(self, states: Tensor, head: Module, supports: Callable[[slice], Tensor]) -> None:
        """Measure a chunk of tokens: `supports` tells whether each is among the teacher's likeliest.

        Hooks of the head are passed by, as in `chunked_loss`.
        """
        tokens = slice(0, CHUNK)
        log_probs = head.forward(states[tokens]).float().log_softmax(-1)
        self._sums["measured"] += len(log_probs)
        self._sums["entropy"] -= float((log_probs.exp() * log_probs).nansum())
        self._sums["support_share"] += float(supports(tokens).sum())

    def means(self, add_up: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Means since the last log; `add_up` adds the sums of all processes."""
        local = torch.cat([torch.tensor(list(self._sums.values()), dtype=torch.float64), self._divergence.flatten()])
        total = add_up(local).cpu()
        sums = dict(zip(self._sums, total.tolist(), strict=False))
        divergence, tokens = total[len(sums) :].view(2, QUARTERS)
        means = {name: sums[name] / max(1.0, sums[_PER[name]]) for name in _NAMES}
        quarters = divergence / tokens.clamp_min(1)
        return means | {f"divergence_{index}": value for index, value in enumerate(quarters.tolist(), 1)}
