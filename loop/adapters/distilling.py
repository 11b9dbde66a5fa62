"""The loss of on-policy distillation, on the student's own responses.

responses [prompts, steps] -> student and teacher log-probabilities of every token of the vocabulary
-> generalised Jensen-Shannon divergence per response token -> weighted sum / number of tokens
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from loop.adapters.decoding import Drawn
from loop.adapters.encoding import PER_TOKEN, positions
from loop.adapters.models import Loaded
from store.errors import ModelUnusable


@dataclass(frozen=True)
class Responses:
    """Padded responses of one batch."""

    ids: Tensor
    """[prompts, steps], 0 where padded."""
    mask: Tensor
    """1 where there is a token, the one that ends the response included."""

    @staticmethod
    def of(drawn: Sequence[Drawn], device: torch.device) -> Responses:
        """Pad the tokens of one sample per prompt on the right."""
        rows = [torch.tensor(one.tokens, device=device) for one in drawn]
        pad = torch.nn.utils.rnn.pad_sequence
        return Responses(pad(rows, batch_first=True), pad([torch.ones_like(row) for row in rows], batch_first=True))


def response_logits(model: Any, batch: Mapping[str, Tensor], responses: Responses) -> Tensor:
    """Logits [prompts, steps, vocabulary] that predict each response token after its prompt, in float32."""
    steps = responses.ids.shape[1]
    # The last response token predicts nothing that is needed, so it is not fed.
    grown = {"input_ids": responses.ids[:, :-1], "attention_mask": responses.mask[:, :-1]}
    inputs = {}
    for key, value in batch.items():
        if key in PER_TOKEN:
            value = torch.cat([value, grown.get(key, torch.zeros_like(responses.ids[:, :-1]))], dim=1)
        inputs[key] = value
    output = model(**inputs, position_ids=positions(model, inputs), use_cache=False, logits_to_keep=steps)
    return output.logits.float()


def divergence(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """Generalised Jensen-Shannon divergence [tokens] between two sets of logits [tokens, vocabulary], in nats.

    beta 0 is the forward KL(teacher || student), 1 the reverse KL(student || teacher); between them
    beta KL(teacher || m) + (1 - beta) KL(student || m) with m = beta teacher + (1 - beta) student
    (arXiv 2306.13649, eq. 1; the meaning of TRL's `generalized_jsd_loss`).
    """
    p, q = functional.log_softmax(student, -1), functional.log_softmax(teacher, -1)
    if beta == 0:
        return _kl(q, p)
    if beta == 1:
        return _kl(p, q)
    share = torch.tensor(beta, dtype=p.dtype, device=p.device)
    mixed = torch.logaddexp(p + torch.log1p(-share), q + torch.log(share))
    return share * _kl(q, mixed) + (1 - share) * _kl(p, mixed)


def batch_loss(per_token: Tensor, responses: Responses, weights: Tensor) -> Tensor:
    """Per-token losses (in the order of the mask's ones), times their prompt's weight, over the number of tokens."""
    owner = responses.mask.nonzero()[:, 0]
    return (per_token * weights[owner]).sum() / len(owner)


def check_same_vocabulary(student: Loaded, teacher: Loaded) -> None:
    """ModelUnusable, naming what differs, unless both models give every token the same id."""
    ours, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    differing = sorted(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
    widths = [loaded.model.get_output_embeddings().weight.shape[0] for loaded in (student, teacher)]
    if differing:
        token = differing[0]
        what = f"{len(differing)} tokens, the first is {token!r}: {ours.get(token)} and {theirs.get(token)}"
    elif widths[0] != widths[1]:
        what = f"the widths of their logits: {widths[0]} and {widths[1]}"
    else:
        return
    raise ModelUnusable(
        f"student {student.name} and teacher {teacher.name} do not share a vocabulary; they differ in {what};"
        " choose a pair of one model family"
    )


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) along the last axis, of log-probabilities."""
    return (p.exp() * (p - q)).sum(-1)
