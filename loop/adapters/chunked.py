"""A loss over [tokens, vocabulary] without ever holding anything of that size.

    states [tokens, width] -> `CHUNK` of them -> head -> logits -> losses and their gradients -> added up, forgotten

The gradients are computed together with the loss, chunk by chunk, so that no chunk is computed twice (the idea of the
fused linear losses of Liger-Kernel, arXiv 2410.10989; here for any head and any loss, in plain torch).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

CHUNK = 128
"""Tokens whose logits exist at once: with 151,936 tokens of vocabulary, 78 MB of float32 per tensor of logits."""

PerToken = Callable[[Tensor, slice], Tensor]
"""Student logits of some tokens [chunk, vocabulary], and which tokens these are -> loss of each [chunk]."""


def chunked_loss(states: Tensor, head: Module, loss: PerToken, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of weights · losses, which can be differentiated, and each token's loss [tokens], which cannot.

    `states` [tokens, width] are what `head` makes logits of; `weights` [tokens] are constants. Hooks of the head are
    passed by: whoever has put some there calls this inside its forward pass (`pieces.inside`).
    """
    total, values = _ChunkedLoss.apply(head, loss, weights, states, *_trained(head))
    return total, values


def _trained(head: Module) -> list[Tensor]:
    return [parameter for parameter in head.parameters() if parameter.requires_grad]


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, head: Module, loss: PerToken, weights: Tensor, states: Tensor, *trained: Tensor) -> Any:
        gradients = [torch.zeros_like(tensor) for tensor in (states, *trained)]
        values = []
        for start in range(0, len(states), CHUNK):
            tokens = slice(start, start + CHUNK)
            with torch.enable_grad():
                part = states[tokens].detach().requires_grad_()
                losses = loss(head.forward(part).float(), tokens)
                found = torch.autograd.grad((losses * weights[tokens]).sum(), (part, *trained))
            gradients[0][tokens] = found[0]
            for so_far, gradient in zip(gradients[1:], found[1:], strict=True):
                so_far += gradient
            values.append(losses.detach())
        per_token = torch.cat(values)
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(per_token)
        return (per_token * weights).sum(), per_token

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        return None, None, None, *(upstream[0] * gradient for gradient in ctx.saved_tensors)
