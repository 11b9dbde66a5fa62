"""The pool stage: prompts from a source into the campaign's pool, bad ones into quarantine."""

from __future__ import annotations

from itertools import islice

from loop.ports import Ports
from loop.work import Work
from store.errors import DeltaloopError
from store.records import Filled, Prompt, Quarantined, digest_of

COMMIT_EVERY = 500


def fill_pool(work: Work, ports: Ports) -> Filled:
    """Read the source once. Prompts that the pool holds already are left as they are."""
    pool = work.settings.pool.name
    entries = ports.source(work.settings.pool)
    with ports.progress.bar("pool", work.settings.pool.size) as advance:
        while chunk := list(islice(entries, COMMIT_EVERY)):
            ports.ledger.add_prompts([entry for entry in chunk if isinstance(entry, Prompt)], pool=pool)
            ports.ledger.quarantine(pool, [entry for entry in chunk if isinstance(entry, Quarantined)])
            advance(len(chunk))
    ids = [prompt.id for prompt in ports.ledger.pool(pool)]
    if not ids:
        raise DeltaloopError(
            f"pool `{pool}` holds no usable prompt after reading `{work.settings.pool.source}`"
            f" ({len(ports.ledger.quarantined(pool))} quarantined); correct the source"
        )
    return Filled(pool, len(ids), len(ports.ledger.quarantined(pool)), digest_of(ids))
