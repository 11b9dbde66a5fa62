"""The loss of on-policy distillation, on the student's own responses.

    responses [prompts, steps] -> states that predict each response token -> logits, a chunk of tokens at a time
    -> divergence of student and teacher per token -> weighted sum / number of tokens

What is known of the teacher decides on the divergence: all of its logits, its K most likely tokens (a server tells no
more), or only the token that the student drew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Identity, Module, functional

from loop.adapters.decoding import Drawn
from loop.adapters.encoding import PER_TOKEN, positions
from loop.adapters.models import Loaded
from store.errors import ModelUnusable

ADJUSTED = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""What a model's text configuration calls that which is done to logits after the head."""

SMALLEST = 1e-12
"""Least probability of the tail class: it keeps the logarithm finite where K is the whole vocabulary."""


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

    def spread(self, weights: Tensor) -> Tensor:
        """A weight of each prompt [prompts] as one of each token, in the order of the mask's ones."""
        return weights[self.mask.nonzero()[:, 0]]


def response_states(model: Any, batch: Mapping[str, Tensor], responses: Responses) -> tuple[Tensor, Module]:
    """What predicts each response token after its prompt [tokens, width], and the head that makes logits of it.

    Tokens are in the order of the mask's ones. A model that does more to its logits than a head (soft caps, scales)
    gives its logits themselves, and a head that leaves them as they are.
    """
    # The last token predicts nothing that is needed, so it is not fed.
    inputs = with_responses(model, batch, responses.ids[:, :-1], responses.mask[:, :-1])
    steps, kept = responses.ids.shape[1], responses.mask.bool()
    head = model.get_output_embeddings()
    if head is None or any(getattr(model.config.get_text_config(), key, None) not in (None, 1.0) for key in ADJUSTED):
        output = model.forward(**inputs, use_cache=False, logits_to_keep=steps)  # hooks: we may be inside of them
        return output.logits[kept], Identity()
    states = model.base_model(**inputs, use_cache=False).last_hidden_state[:, -steps:]
    return states[kept], head


def response_logits(model: Any, batch: Mapping[str, Tensor], responses: Responses) -> Tensor:
    """Logits [tokens, vocabulary] that predict each response token, in float32."""
    states, head = response_states(model, batch, responses)
    logits: Tensor = head(states).float()
    return logits


def with_responses(model: Any, batch: Mapping[str, Tensor], ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """A batch of prompts with tokens of their responses [prompts, steps] behind them, and the place of each token."""
    grown = {"input_ids": ids, "attention_mask": mask}
    inputs = {}
    for key, value in batch.items():
        if key in PER_TOKEN:
            value = torch.cat([value, grown.get(key, torch.zeros_like(ids))], dim=1)
        inputs[key] = value
    return inputs | {"position_ids": positions(model, inputs)}


def divergence(student: Tensor, teacher: Tensor, beta: float, temperature: float = 1.0) -> Tensor:
    """Generalised Jensen-Shannon divergence [tokens] between two sets of logits [tokens, vocabulary], in nats.

    beta 0 is the forward KL(teacher || student), 1 the reverse KL(student || teacher); between them
    beta KL(teacher || m) + (1 - beta) KL(student || m) with m = beta teacher + (1 - beta) student
    (arXiv 2306.13649, eq. 1; the meaning of TRL's `generalized_jsd_loss`). Logits are divided by the temperature.
    """
    p, q = (functional.log_softmax(logits / temperature, -1) for logits in (student, teacher))
    return _jensen_shannon(p, q, beta)


@dataclass(frozen=True)
class Support:
    """A teacher's most likely tokens after each position, as a server tells them."""

    ids: Tensor
    """[tokens, K], distinct in a row."""
    log_probs: Tensor
    """[tokens, K] at temperature 1."""


def support_divergence(student: Tensor, teacher: Support, beta: float) -> Tensor:
    """The same divergence over K + 1 classes [tokens]: the teacher's K most likely tokens, and all others together.

    Never above the divergence over the whole vocabulary (by the data processing inequality), and equal to
    it where K is the vocabulary. Student logits [tokens, vocabulary]; the temperature is 1, the server's.
    """
    p = functional.log_softmax(student, -1).gather(-1, teacher.ids)
    return _jensen_shannon(_with_tail(p), _with_tail(teacher.log_probs), beta)


def sampled_divergence(student: Tensor, drawn: Tensor, teacher_log_probs: Tensor) -> Tensor:
    """Reverse KL from the drawn token alone [tokens]: log p - log q of it, whose gradient is that of the true one.

    The gradient is the score function's, (log p - log q) ∇ log p, unbiased where p drew the token. Student logits
    [tokens, vocabulary], drawn tokens [tokens] and what the teacher gives them [tokens], at temperature 1.
    """
    p = functional.log_softmax(student, -1).gather(-1, drawn[:, None])[:, 0]
    ratio = (p - teacher_log_probs).detach()
    return ratio + ratio * (p - p.detach())


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
        " choose a pair of one model family, and take the prompts over to it as docs/training.md says (transfer)"
    )


def _jensen_shannon(p: Tensor, q: Tensor, beta: float) -> Tensor:
    """Of log-probabilities p, the student's, and q [tokens, classes]."""
    if beta == 0:
        return _kl(q, p)
    if beta == 1:
        return _kl(p, q)
    share = torch.tensor(beta, dtype=p.dtype, device=p.device)
    mixed = torch.logaddexp(p + torch.log1p(-share), q + torch.log(share))
    return share * _kl(q, mixed) + (1 - share) * _kl(p, mixed)


def _with_tail(log_probs: Tensor) -> Tensor:
    """[tokens, K + 1]: the last class has what the K leave, and at least SMALLEST."""
    tail = -torch.expm1(log_probs.logsumexp(-1, keepdim=True).clamp_max(0))
    return torch.cat([log_probs, tail.clamp_min(SMALLEST).log()], -1)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) along the last axis, of log-probabilities."""
    return (p.exp() * (p - q)).sum(-1)
