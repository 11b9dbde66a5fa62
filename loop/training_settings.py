"""Settings of training: what is learnt, how a step is computed, and when a training is ill."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from loop.section import Count, Positive, Section, Share
from policies.health import Bounds


class Hardware(Section):
    """How a training step is computed: none of it changes what is learnt, but for rounding."""

    accumulation: Positive = 1
    """Equal parts that a step's batch is computed in, one after the other: less memory, the same gradient."""
    bf16: bool = False
    """Forward and backward passes in bfloat16; weights, gradients and the optimizer's moments stay in float32."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, a third more time."""
    processes: Positive = 1
    """Processes on this machine that share each batch; more than one are started by torchrun for the training."""
    accelerate_config: str | None = None
    """File of `accelerate config` by which they are started instead: FSDP2, DeepSpeed (docs/training.md)."""

    @property
    def is_launched(self) -> bool:
        """Whether the training runs in processes of its own."""
        return self.processes > 1 or self.accelerate_config is not None


class Health(Section):
    """Bounds whose crossing ends a training, the last good checkpoint kept; all against the first logged steps."""

    max_length_ratio: Annotated[float, Field(gt=1.0)] = 4.0
    """Of the mean response length: the student talks longer and longer (arXiv 2604.08527)."""
    max_truncated_rise: Share = 0.6
    """Of the share of responses that `max_tokens` cuts off."""
    max_repetition_rise: Share = 0.5
    """Of the share of four-token sequences that their response holds already."""
    min_entropy_ratio: Share = 0.01
    """Of the student's mean entropy per token: it says one thing only (degenerate agreement, arXiv 2606.09471)."""
    max_support_fall: Share = 0.5
    """Of the share of drawn tokens that are among the teacher's `teacher_top` likeliest."""
    max_divergence_rise: Annotated[float, Field(gt=0.0)] = 5.0
    """In nats per token, in any quarter of the responses."""
    max_grad_norm_ratio: Annotated[float, Field(gt=1.0)] = 1000.0
    """Of the gradient's norm before clipping."""

    def bounds(self) -> Bounds:
        """As the policy takes them."""
        return Bounds(**self.model_dump())


class Lora(Section):
    """A low-rank adapter in place of all weights, merged into the student when the training ends."""

    rank: Count = 0
    """Of the adapter; 0 trains all weights."""
    alpha: Positive = 32
    """The adapter's output is scaled by alpha / rank."""
    targets: str = "all-linear"
    """Layers that get one: `all-linear` (all but the head), or a regular expression of their names."""
    bits: Literal[0, 4] = 0
    """4 keeps the weights beneath in NF4 while the adapter is trained (QLoRA, extra `qlora`); 0 in float32."""


UNMEASURED = ("max_repetition_rise", "max_support_fall", "max_divergence_rise")
"""Bounds on what TRL does not measure."""
BEYOND_TRL = {
    "lora.bits": "it trains on weights in float32; set it to 0",
    "hardware.processes": "it trains in the controller's process; leave the key out",
    "hardware.accelerate_config": "it trains in the controller's process; leave the key out",
    "token_budget": "it ends after training.steps; leave the key out",
    "sync_steps": "it draws in each step; set it to 1",
    "loss_temperature": "it has one temperature; set it to training.temperature",
    **{f"health.{key}": "it does not measure that; leave the key out" for key in UNMEASURED},
}


class Training(Section):
    """Distillation (docs/training.md)."""

    mode: Literal["on_policy", "off_policy"] = "on_policy"
    """Learn on the student's own responses, or from the teacher's responses that give its majority answer."""
    backend: Literal["deltaloop", "trl"] = "deltaloop"
    """What trains: our own trainer, or TRL's `DistillationTrainer` and `SFTTrainer` (extra `trl`)."""
    steps: Positive = 150
    """Optimizer steps per round."""
    batch: Positive = 32
    """Prompts per step, over all processes and parts."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 5e-4
    """Peak of the schedule."""
    lr_scheduler_type: Literal["cosine", "linear", "polynomial", "constant_with_warmup"] = "cosine"
    """What follows the warm-up, by transformers' names."""
    warmup_steps: Count = 5
    """Steps to reach the peak."""
    sync_steps: Positive = 1
    """The student as it is draws the responses of so many steps at once; the loss always asks the newest student."""
    beta: Share = 1.0
    """Generalised JSD: 0 is forward KL, 1 is reverse KL (the meaning of TRL and Liger); on-policy only."""
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    """Sampling temperature of the student's rollouts."""
    loss_temperature: Annotated[float, Field(gt=0.0)] = 1.0
    """Both models' logits are divided by it in the loss; 1 where an engine serves the teacher."""
    teacher_top: Count = 64
    """Where an engine serves the teacher: how many of its likeliest tokens the loss sees; 0 for the drawn one alone."""
    max_tokens: Positive = 32
    """Length of the student's rollouts."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """Of AdamW."""
    max_grad_norm: Annotated[float, Field(gt=0.0)] = 1.0
    """Gradients are clipped to this norm."""
    checkpoint_steps: Positive = 50
    """An interrupted training continues from the last multiple of this."""
    token_budget: Positive | None = None
    """Stop after this many response tokens, whatever `steps` says."""
    lora: Lora = Lora()
    hardware: Hardware = Hardware()
    health: Health = Health()

    @model_validator(mode="after")
    def _trl_can(self) -> Self:
        if self.backend != "trl":
            return self
        beyond = {
            "lora.bits": self.lora.bits > 0,
            "hardware.processes": self.hardware.processes > 1,
            "hardware.accelerate_config": self.hardware.accelerate_config is not None,
            "token_budget": self.token_budget is not None,
            "sync_steps": self.sync_steps > 1,
            "loss_temperature": self.mode == "on_policy" and self.loss_temperature != self.temperature,
        }
        unmeasured = {f"health.{key}": getattr(self.health, key) != getattr(Health(), key) for key in UNMEASURED}
        for key, is_beyond in (beyond | unmeasured).items():
            if is_beyond:
                raise ValueError(f'training.{key} is not for backend = "trl": {BEYOND_TRL[key]}')
        return self

    @model_validator(mode="after")
    def _quantized_weights_have_an_adapter(self) -> Self:
        if self.lora.bits and not self.lora.rank:
            raise ValueError(
                f"training.lora.bits = {self.lora.bits}: weights of so few bits do not learn; set training.lora.rank"
            )
        if self.lora.bits and self.hardware.is_launched:
            raise ValueError(
                f"training.lora.bits = {self.lora.bits} is trained in one process: set bits to 0, or leave out"
                " training.hardware.processes and accelerate_config"
            )
        return self

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Self:
        hardware = self.hardware
        if self.batch % (hardware.accumulation * hardware.processes):
            raise ValueError(
                f"training.batch = {self.batch} cannot be cut into training.hardware.accumulation ="
                f" {hardware.accumulation} equal parts for each of training.hardware.processes ="
                f" {hardware.processes}: make it a multiple"
            )
        return self
