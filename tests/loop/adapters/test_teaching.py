"""A teacher behind an engine: what is learnt where it has no room for a response."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from loop.adapters.distilling import Responses
from loop.adapters.teaching import ScoringTeacher
from loop.ports import TokenScores
from loop.training_settings import Training
from store.errors import ModelUnusable
from store.records import Prompt

PROMPTS = [Prompt.make("one"), Prompt.make("two")]
RESPONSES = Responses(torch.tensor([[3, 4, 5], [6, 2, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]))
"""Of three tokens and of two."""


class Scores:
    """Scores so many tokens of each response."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]], *, top: int) -> list[TokenScores]:
        return [
            TokenScores(
                np.full(length, -3.0, np.float32),
                np.tile(np.arange(top), (length, 1)),
                np.full((length, top), -3.0, np.float32),
            )
            for length in self.lengths
        ]


@pytest.mark.parametrize("top", [0, 2])
def test_nothing_is_learnt_from_a_response_that_is_not_scored(top: int) -> None:
    settings = Training(teacher_top=top)
    logits = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    whole, partly = (
        ScoringTeacher(scores).judge(PROMPTS, RESPONSES, settings) for scores in (Scores(3, 2), Scores(3, 0))
    )
    everything = slice(0, 5)
    loss = partly.loss(logits, everything)
    assert torch.equal(loss[:3], whole.loss(logits, everything)[:3])
    assert loss[3:].tolist() == [0.0, 0.0] != whole.loss(logits, everything)[3:].tolist()
    assert partly.supports(everything)[3:].all(), "nothing is known against its tokens"
    none = ScoringTeacher(Scores(0, 0)).judge(PROMPTS, RESPONSES, settings)
    assert none.loss(logits, everything).tolist() == [0.0] * 5


def test_half_a_response_is_no_score() -> None:
    with pytest.raises(ModelUnusable, match=r"\[3, 1\] tokens of responses of \[3, 2\]"):
        ScoringTeacher(Scores(3, 1)).judge(PROMPTS, RESPONSES, Training())
