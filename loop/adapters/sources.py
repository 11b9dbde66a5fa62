"""Where a pool's prompts come from: the embedded world or a JSONL file, streamed; what cannot be one is quarantined.

Pool settings -> read_source -> Prompt | Quarantined, one by one; images go into blobs on the way
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from loop.adapters.images import to_png
from loop.adapters.jsonl import Refused, read_entries, shown, to_prompt
from loop.world.questions import FAMILIES, Question
from loop.world.scenes import Scene, to_json
from loop.world.sets import pool_items
from store.errors import UsageError
from store.records import Origin, Prompt, Quarantined, derive_seed

if TYPE_CHECKING:
    from loop.config import Pool
    from loop.ports import Blobs

EMBEDDED = "embedded"
MAX_DRAWS = 4
"""Draws per wanted prompt of the embedded pool before it is taken to have no more: easy-vqa repeats itself."""


def read_source(settings: Pool, blobs: Blobs) -> Iterator[Prompt | Quarantined]:
    """The prompts that a pool starts from; `size` and the shares are for the embedded one, a file is read whole.

    UsageError, at once, for a source that is neither `embedded` nor a readable JSONL file, and for impossible shares.
    """
    if settings.source == EMBEDDED:
        if settings.easy_vqa_share > settings.easy_share:
            raise UsageError(
                f"`pool.easy_vqa_share` = {settings.easy_vqa_share} is more than `pool.easy_share` ="
                f" {settings.easy_share}, which includes it; lower the first or raise the second"
            )
        return _embedded(settings, blobs)
    return _from_file(existing_file("pool.source", settings.source), blobs)


def existing_file(key: str, value: str) -> Path:
    """The JSONL file that a setting names. UsageError with the key, the value and the remedy if it is none."""
    path = Path(value).expanduser()
    if path.suffix != ".jsonl":
        raise UsageError(f"`{key}` = {value!r} is neither `{EMBEDDED}` nor a .jsonl file; name one of the two")
    if not path.is_file():
        raise UsageError(f"`{key}` = {value!r}: there is no such file; correct the path, or use `{EMBEDDED}`")
    if not os.access(path, os.R_OK):
        raise UsageError(f"`{key}` = {value!r} cannot be read; change its permissions, or name another file")
    return path


def world_prompt(question: Question, scene: Scene | None, image: str, origin: Origin) -> Prompt:
    """The prompt of a question of the embedded world about an image that is a blob already; easy-vqa has no scene."""
    attributes = {"domain": question.domain, "family": question.family, "skill": FAMILIES[question.family].skill}
    if scene is not None:
        attributes["scene"] = to_json(scene)
    return Prompt.make(question.text, (image,), origin, attributes=attributes)


def _embedded(settings: Pool, blobs: Blobs) -> Iterator[Prompt]:
    rng = np.random.default_rng(derive_seed("pool", settings.seed))
    items = pool_items(
        MAX_DRAWS * settings.size, rng, easy_share=settings.easy_share, easy_vqa_share=settings.easy_vqa_share
    )
    seen: set[str] = set()
    for item in items:
        prompt = world_prompt(item.question, item.scene, blobs.put(to_png(item.image)), Origin.SEED)
        if prompt.id not in seen:
            seen.add(prompt.id)
            yield prompt
        if len(seen) == settings.size:
            return


def _from_file(path: Path, blobs: Blobs) -> Iterator[Prompt | Quarantined]:
    for number, entry in read_entries(path):
        try:
            if isinstance(entry, Refused):
                raise entry
            yield to_prompt(entry, path.parent, blobs, Origin.SEED)
        except Refused as reason:
            yield Quarantined(f"{path.name}:{number}", shown(entry), str(reason))
