"""What vLLM tells of given tokens, in process and as a server.

`prompt_logprobs`           per place of a prompt, token id -> log-probability and rank
`prompt_logprob_token_ids`  log-probabilities of the token ids that were asked for, where vLLM has it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from loop.ports import TokenScores

UNSCORED = TokenScores(np.empty(0, np.float32), np.empty((0, 0), np.int64), np.empty((0, 0), np.float32))
"""Of a response that does not fit into the context."""


class LogProb(Protocol):
    """An entry: 1 is the rank of the likeliest token."""

    @property
    def logprob(self) -> float: ...  # noqa: D102

    @property
    def rank(self) -> int | None: ...  # noqa: D102


def token_scores(places: Sequence[Mapping[int, LogProb]], response: Sequence[int], top: int) -> TokenScores:
    """vLLM's log-probabilities of some places: the `top` likeliest tokens of each, and the one that is there."""
    best = [sorted(place.items(), key=lambda entry: entry[1].rank or 0)[:top] for place in places]
    return TokenScores(
        np.array([place[token].logprob for place, token in zip(places, response, strict=True)], dtype=np.float32),
        np.array([[token for token, _ in place] for place in best], dtype=np.int64),
        np.array([[entry.logprob for _, entry in place] for place in best], dtype=np.float32),
    )


def given_scores(log_probs: Any) -> TokenScores:
    """vLLM's log-probabilities [tokens, 1] of a response's tokens, asked for by their ids."""
    given = np.asarray(log_probs, dtype=np.float32)[:, 0]
    return TokenScores(given, np.empty((len(given), 0), dtype=np.int64), np.empty((len(given), 0), dtype=np.float32))
