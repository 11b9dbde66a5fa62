"""What a teacher makes of the student's responses, as a loss of each response token.

TraceTeacher     it is not asked: what is learnt are responses that it gave before
LocalTeacher     its weights are in this process: all of its logits, a chunk of tokens at a time
ScoringTeacher   an engine serves it: its K likeliest tokens in each place, or the drawn token alone
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from loop.adapters.chunked import PerToken
from loop.adapters.distilling import (
    Responses,
    Support,
    check_same_vocabulary,
    divergence,
    response_states,
    sampled_divergence,
    support_divergence,
)
from loop.adapters.models import Loaded, Models
from loop.ports import Scorer, TokenScores
from loop.training_settings import Training
from store.errors import ModelUnusable, UsageError
from store.records import Prompt


@dataclass(frozen=True)
class Judged:
    """What a teacher makes of some tokens."""

    loss: PerToken
    """The divergence from it, for the student's logits of any of the tokens."""
    supports: Callable[[slice], Tensor]
    """Whether each of some tokens [chunk] is among its `teacher_top` likeliest; where that is 0: is the likeliest, or
    all of them, if an engine tells of the drawn token alone."""


class Teacher(Protocol):
    """Judges responses of a student that shares its vocabulary."""

    def check(self, student: Loaded, settings: Training) -> None:
        """ModelUnusable or UsageError if it cannot teach this student under these settings."""
        ...

    def judge(self, prompts: Sequence[Prompt], responses: Responses, settings: Training) -> Judged:
        """What it makes of the responses' tokens, in the order of the mask's ones."""
        ...


class TraceTeacher:
    """A teacher whose own responses are what is learnt: the student is to find them likely."""

    def check(self, student: Loaded, settings: Training) -> None:
        """Any student can learn from texts, whatever its vocabulary."""

    def judge(self, prompts: Sequence[Prompt], responses: Responses, settings: Training) -> Judged:
        """The negative log-likelihood of each token, in nats."""
        given = responses.ids[responses.mask.bool()]
        return Judged(
            lambda logits, tokens: functional.cross_entropy(logits, given[tokens], reduction="none"),
            lambda tokens: torch.ones_like(given[tokens], dtype=torch.bool),
        )


class LocalTeacher:
    """A teacher whose weights are in this process."""

    def __init__(self, models: Models, loaded: Loaded) -> None:
        self._models = models
        self._loaded = loaded

    def check(self, student: Loaded, settings: Training) -> None:
        """ModelUnusable unless both give every token the same id."""
        check_same_vocabulary(student, self._loaded)

    def judge(self, prompts: Sequence[Prompt], responses: Responses, settings: Training) -> Judged:
        """Over the whole vocabulary."""
        with torch.no_grad():
            batch = self._models.encode(self._loaded, prompts)
            states, head = response_states(self._loaded.model, batch, responses)

        def per_token(logits: Tensor, tokens: slice) -> Tensor:
            with torch.no_grad():
                target = head(states[tokens]).float()
            return divergence(logits, target, settings.beta, settings.loss_temperature)

        drawn = responses.ids[responses.mask.bool()]

        def supports(tokens: slice) -> Tensor:
            logits = head(states[tokens])
            likelier = logits > logits.gather(-1, drawn[tokens, None])
            return likelier.sum(-1) < max(settings.teacher_top, 1)

        return Judged(per_token, supports)


def check_told(settings: Training) -> None:
    """UsageError for what only logits can give, and an engine that scores given tokens does not tell."""
    if settings.loss_temperature != 1:
        raise UsageError(
            f"training.loss_temperature = {settings.loss_temperature}: a teacher behind an engine tells its"
            " probabilities at temperature 1 only; set it to 1"
        )
    if not settings.teacher_top and settings.beta != 1:
        raise UsageError(
            f"training.beta = {settings.beta}: the drawn token alone (teacher_top = 0) tells the reverse KL only;"
            " set beta to 1, or teacher_top to 16 or more"
        )
    if not settings.teacher_top and settings.sync_steps > 1:
        raise UsageError(
            f"training.sync_steps = {settings.sync_steps}: the drawn token alone (teacher_top = 0) tells the"
            " reverse KL of the student that drew it only; set sync_steps to 1, or teacher_top to 16 or more"
        )


class ScoringTeacher:
    """A teacher behind an engine that scores given tokens; the two must share a tokenizer."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def check(self, student: Loaded, settings: Training) -> None:
        """Errors of `check_told`."""
        check_told(settings)

    def judge(self, prompts: Sequence[Prompt], responses: Responses, settings: Training) -> Judged:
        """Over the teacher's likeliest tokens and a class for all others; or from the drawn token alone.

        Nothing is learnt from a response that is too long for the engine: its tokens have no loss. ModelUnusable if
        the engine names tokens that the student does not have, or not one score per token.
        """
        lengths = responses.mask.sum(-1).tolist()
        given = [row[:length] for row, length in zip(responses.ids.tolist(), lengths, strict=True)]
        scores = self._scorer.score(prompts, given, top=settings.teacher_top)
        found = [len(one.given) for one in scores]
        if any(scored not in (0, length) for scored, length in zip(found, lengths, strict=True)):
            raise ModelUnusable(
                f"the teacher's engine scored {found} tokens of responses of {lengths}; is it the pair's?"
            )
        known = responses.spread(torch.tensor([float(scored > 0) for scored in found], device=responses.ids.device))
        filled = [
            one if len(one.given) else _any_scores(length, settings.teacher_top)
            for one, length in zip(scores, lengths, strict=True)
        ]
        parts = zip(*((one.given, one.top_ids, one.top) for one in filled), strict=True)
        drawn_log_probs, ids, log_probs = (
            torch.from_numpy(np.concatenate(part)).to(responses.ids.device) for part in parts
        )
        drawn = responses.ids[responses.mask.bool()]

        def supports(tokens: slice) -> Tensor:
            if not settings.teacher_top:  # the engine tells of no other token: there is no support to leave
                return torch.ones_like(drawn[tokens], dtype=torch.bool)
            return (ids[tokens] == drawn[tokens, None]).any(-1) | (known[tokens] == 0)

        if not settings.teacher_top:
            return Judged(
                lambda logits, tokens: (
                    sampled_divergence(logits, drawn[tokens], drawn_log_probs[tokens]) * known[tokens]
                ),
                supports,
            )

        largest = int(ids.max())  # once: on a GPU, asking waits for it

        def per_token(logits: Tensor, tokens: slice) -> Tensor:
            if largest >= logits.shape[-1]:
                raise ModelUnusable(
                    f"the teacher's engine names token {largest}, the student has {logits.shape[-1]};"
                    " choose a pair with one tokenizer"
                )
            return support_divergence(logits, Support(ids[tokens], log_probs[tokens]), settings.beta) * known[tokens]

        return Judged(per_token, supports)


def _any_scores(length: int, top: int) -> TokenScores:
    """Scores that stand where there are none, and do not count."""
    ids = np.tile(np.arange(top, dtype=np.int64), (length, 1))
    likely = -np.log(max(top, 1) + 1, dtype=np.float32)
    return TokenScores(np.full(length, likely, np.float32), ids, np.full(ids.shape, likely, np.float32))
