"""Hypothesis strategies for records: hostile text included (NUL, lone surrogates, escapes, quotes)."""

from __future__ import annotations

from hypothesis import strategies as st

from store.records import Origin, Prompt, Rollout, RolloutStatus

NASTY = ["\x00", "\ud83d", "\ude00", "\x1b", "\x1b0;", "\x1bd83d;", "'", "\\", "\\u0000", "\r\n", "é", "😀", "%s", ":x"]

texts = st.lists(st.one_of(st.sampled_from(NASTY), st.characters(exclude_categories=())), max_size=20).map("".join)

prompts = st.builds(
    Prompt.make,
    question=texts,
    images=st.lists(st.sampled_from(["a" * 64, "b" * 64]), max_size=3),
    origin=st.sampled_from(Origin),
    attributes=st.dictionaries(texts, texts, max_size=3),
)

seeds = st.integers(min_value=0, max_value=2**63 - 1)


def rollouts_of(prompt_id: str, version: str) -> st.SearchStrategy[list[Rollout]]:
    """Rollouts of one prompt and version, under two samplings, in order of (sampling, index)."""
    rollout = st.builds(
        Rollout,
        prompt_id=st.just(prompt_id),
        version=st.just(version),
        sampling=st.sampled_from(["hot", "cold"]),
        index=st.integers(0, 40),
        seed=seeds,
        text=texts,
        status=st.sampled_from(RolloutStatus),
        answer=st.none() | texts,
        canonical=st.none() | texts,
        num_tokens=st.integers(0, 10_000),
    )
    unique = st.lists(rollout, max_size=8, unique_by=lambda row: (row.sampling, row.index))
    return unique.map(lambda rows: sorted(rows, key=lambda row: (row.sampling, row.index)))
