"""Where a pool's prompts come from: the embedded world, a table of the user's, or an import that was made before.

Pool settings -> read_source  ->  Prompt | Quarantined, one by one; images go into blobs on the way
Source        -> open_prompts ->  the same, of a table, with the number of its rows
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from loop.adapters.images import to_png
from loop.adapters.prompt_source import prompts_of
from loop.adapters.tables import open_table
from loop.intake import Source
from loop.paths import EMBEDDED, IMPORTED
from loop.world.questions import FAMILIES, Question
from loop.world.scenes import Scene, to_json
from loop.world.sets import pool_items
from store.errors import UsageError
from store.records import Origin, Prompt, Quarantined, derive_seed

if TYPE_CHECKING:
    from loop.config import Pool
    from loop.ports import Blobs

MAX_DRAWS = 4
"""Draws per wanted prompt of the embedded pool before it is taken to have no more: easy-vqa repeats itself."""


def read_source(settings: Pool, blobs: Blobs) -> Iterator[Prompt | Quarantined]:
    """The prompts that a pool starts from; `size` and the shares are for the embedded one, a table is read whole.

    UsageError, at once, for a source that cannot be read, and for impossible shares.
    """
    if settings.source == EMBEDDED:
        if settings.easy_vqa_share > settings.easy_share:
            raise UsageError(
                f"`pool.easy_vqa_share` = {settings.easy_vqa_share} is more than `pool.easy_share` ="
                f" {settings.easy_share}, which includes it; lower the first or raise the second"
            )
        return _embedded(settings, blobs)
    if settings.source == IMPORTED:
        return iter(())
    return open_prompts(Source(settings.source), blobs, what="`pool.source`")[0]


def open_prompts(source: Source, blobs: Blobs, *, what: str) -> tuple[Iterator[Prompt | Quarantined], int | None]:
    """The prompts of a table, and how many rows it has where that is known. UsageError, at once, if it is none."""
    table = open_table(source, what=what)
    return prompts_of(table, source.columns, blobs), table.total


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
