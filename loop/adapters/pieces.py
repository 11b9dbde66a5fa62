"""A student whose weights lie in pieces in all processes (FSDP2), and what needs them whole.

The forward pass of a module is where FSDP2 puts its weights together, and notes what to do in the backward pass:
`inside` computes something of ours there. To draw, and to write a folder, a process takes a whole copy for a while, so
that no token of one process waits for those of another.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch.distributed.tensor import DTensor
from torch.nn import Module, Parameter

from loop.adapters.models import Loaded


def settle_sharding(accelerator: Accelerator) -> None:
    """Take FSDP2 up on CPUs too, where accelerate leaves it out without a word; and leave rounding to autocast.

    As under DDP, weights, gradients and moments then stay in float32.
    """
    state = accelerator.state
    if state.distributed_type is DistributedType.MULTI_CPU and os.environ.get("ACCELERATE_USE_FSDP") == "true":
        state.fsdp_plugin = FullyShardedDataParallelPlugin()
        PartialState().distributed_type = state.distributed_type = DistributedType.FSDP  # it is asked in both places
    if accelerator.is_fsdp2:
        state.fsdp_plugin.mixed_precision_policy = None


def inside(wrapper: Any, module: Module, compute: Callable[..., Any], *inputs: Any) -> Any:
    """What `compute` makes of the inputs inside the forward pass of a module, which a wrapper may be around."""
    own = vars(module).get("forward")

    def once(*given: Any, **_: Any) -> Any:
        if own is None:
            del module.forward
        else:
            module.forward = own
        return compute(*given)

    module.forward = once
    return wrapper(*inputs)


class WholeCopies:
    """Makes whole copies of a model whose weights are going to lie in pieces."""

    def __init__(self, loaded: Loaded) -> None:
        """While they do not yet: what they lie in cannot be copied."""
        self._loaded = loaded
        hollow = {id(one): Parameter(one.detach().to("meta"), False) for one in loaded.model.parameters()}
        self._hollow = copy.deepcopy(loaded.model, hollow | self._buffers())

    @contextmanager
    def take(self) -> Iterator[Loaded]:
        """One of the model as it is now, gone afterwards. All processes take one together."""
        pieces = dict(self._loaded.model.named_parameters())
        whole = {id(one): Parameter(_whole(pieces[name]), False) for name, one in self._hollow.named_parameters()}
        model = copy.deepcopy(self._hollow, whole | self._buffers())
        try:
            yield replace(self._loaded, model=model)
        finally:
            for one in model.parameters():  # at once, whoever still holds the model
                one.data = torch.empty(0)

    def _buffers(self) -> dict[int, Any]:
        """They are never in pieces, and shared by all copies."""
        return {id(one): one for one in self._loaded.model.buffers()}


@torch.no_grad()
def _whole(weight: torch.Tensor) -> torch.Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight.detach()
