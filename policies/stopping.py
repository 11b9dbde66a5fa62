"""When a campaign ends before its last round: there is nothing left to learn from the pool, or nothing is learned."""

from __future__ import annotations

from collections.abc import Sequence


def why_stop(promotions: Sequence[bool], delta_share: float, *, patience: int, min_delta_share: float) -> str | None:
    """The reason to stop, for a person to read, or None to go on. Either is a normal end, not a failure.

    `promotions` are the verdicts so far, oldest first; `delta_share` is the share of the pool's prompts that are not
    zero-delta, as this round measured it.
    """
    if delta_share < min_delta_share:
        return f"the pool is exhausted: {delta_share:.1%} of its prompts still differ, less than {min_delta_share:.1%}"
    if len(promotions) >= patience and not any(promotions[-patience:]):
        return f"no promotion in the last {patience} rounds"
    return None
