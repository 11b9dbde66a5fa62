"""The pool stage: prompts from a source into the campaign's pool, bad ones into quarantine; and what is usable of it.

source -> take_in -> pool of the home -> usable_prompts -> what this campaign may score, train on and build on
"""

from __future__ import annotations

from loop.config import CampaignSettings
from loop.intake import take_in
from loop.paths import EMBEDDED, IMPORTED
from loop.ports import Ports
from loop.work import Work
from store.errors import DeltaloopError
from store.records import Filled, Prompt, Quarantined, digest_of


def fill_pool(work: Work, ports: Ports) -> Filled:
    """`read_pool` as the output of a stage."""
    pool = work.settings.pool.name
    ids = [prompt.id for prompt in read_pool(work.settings, ports)]
    return Filled(pool, len(ids), len(ports.ledger.quarantined(pool)), digest_of(ids))


def read_pool(settings: CampaignSettings, ports: Ports) -> tuple[Prompt, ...]:
    """Read the source once, and return the pool's usable prompts; those that it holds already are left as they are.

    DeltaloopError if none is usable.
    """
    pool = settings.pool
    with ports.progress.bar("pool", pool.size if pool.source == EMBEDDED else None) as advance:
        take_in(ports.source(pool), pool.name, ports.ledger, advance)
    prompts = usable_prompts(settings, ports)
    if not prompts:
        quarantined = len(ports.ledger.quarantined(pool.name))
        remedy = (
            f"fill it: deltaloop import SOURCE --pool {pool.name}" if pool.source == IMPORTED else "mend the source"
        )
        raise DeltaloopError(
            f"pool `{pool.name}` holds no usable prompt after reading `{pool.source}` ({quarantined} quarantined);"
            f" {remedy}"
        )
    return prompts


def usable_prompts(settings: CampaignSettings, ports: Ports) -> tuple[Prompt, ...]:
    """The pool in order of id, without what repeats a held-out question of this campaign; that is quarantined.

    Such a prompt stays in the pool, which campaigns with other held-out questions may share. PoolTooLarge.
    """
    pool = settings.pool.name
    ports.check_pool()
    prompts = ports.ledger.pool(pool)
    held_out: dict[str, str] = {}
    with ports.progress.bar("decontamination", len(prompts)) as advance:
        for prompt in prompts:
            if (collision := ports.evaluator.contaminated(prompt)) is not None:
                held_out[prompt.id] = collision
            advance(1)
    rows = [
        Quarantined(
            f"{pool}/{prompt.id}",
            prompt.question,
            f"contaminated: held out as {held_out[prompt.id][:12]} by campaign `{settings.name}`",
        )
        for prompt in prompts
        if prompt.id in held_out
    ]
    ports.ledger.quarantine(pool, rows)
    return tuple(prompt for prompt in prompts if prompt.id not in held_out)
