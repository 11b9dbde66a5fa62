"""When a training is ill: what its logged steps show, against its first ones.

    logged steps (first ... last) + bounds -> None, or what is wrong with the last one

The known failures of on-policy distillation are length inflation (arXiv 2604.08527) and degenerate agreement
(arXiv 2606.09471); both show long before the held-out accuracy does. Everything is measured against the first logged
steps, so that one set of bounds serves students that start terse or verbose, sure or unsure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from store.records import TrainedStep


@dataclass(frozen=True)
class Bounds:
    """How far a training may move from how it began; see `[training.health]`."""

    max_length_ratio: float
    max_truncated_rise: float
    max_repetition_rise: float
    min_entropy_ratio: float
    max_support_fall: float
    max_divergence_rise: float
    max_grad_norm_ratio: float


def find_alarm(history: Sequence[TrainedStep], bounds: Bounds) -> str | None:
    """What is wrong with the last logged step, with its values and the bound; None while all is well."""
    first, last = history[0], history[-1]
    if not math.isfinite(last.grad_norm):
        return f"step {last.step}: the gradient's norm is {last.grad_norm}; lower training.learning_rate"
    pairs = zip(first.divergence_quarters, last.divergence_quarters, strict=True)
    rises = [now - begun for begun, now in pairs]
    quarter = max(range(len(rises)), key=rises.__getitem__, default=0)
    limits = asdict(bounds)
    crossed = (
        (
            "max_length_ratio",
            last.response_tokens > bounds.max_length_ratio * first.response_tokens,
            _moved("responses are", first.response_tokens, last.response_tokens, "tokens long"),
        ),
        (
            "max_truncated_rise",
            last.truncated_share - first.truncated_share > bounds.max_truncated_rise,
            _moved("the share of truncated responses is", first.truncated_share, last.truncated_share),
        ),
        (
            "max_repetition_rise",
            last.repetition - first.repetition > bounds.max_repetition_rise,
            _moved("the share of repeated sequences is", first.repetition, last.repetition),
        ),
        (
            "min_entropy_ratio",
            last.entropy < bounds.min_entropy_ratio * first.entropy,
            _moved("the student's entropy is", first.entropy, last.entropy, "nats per token"),
        ),
        (
            "max_support_fall",
            first.support_share - last.support_share > bounds.max_support_fall,
            _moved("the share of tokens on the teacher's support is", first.support_share, last.support_share),
        ),
        (
            "max_divergence_rise",
            bool(rises) and rises[quarter] > bounds.max_divergence_rise,
            f"the divergence in quarter {quarter + 1} of the responses has risen by"
            f" {rises[quarter] if rises else 0:.3g} nats per token",
        ),
        (
            "max_grad_norm_ratio",
            last.grad_norm > bounds.max_grad_norm_ratio * first.grad_norm > 0,
            _moved("the gradient's norm is", first.grad_norm, last.grad_norm),
        ),
    )
    for name, is_crossed, what in crossed:
        if is_crossed:
            return f"step {last.step}: {what}; the bound is training.health.{name} = {limits[name]:g}"
    return None


def _moved(what: str, begun: float, now: float, unit: str = "") -> str:
    return f"{what} {now:.3g}{' ' * bool(unit)}{unit}, and {begun:.3g} in the first steps"
