"""Progress of a campaign as server-sent events: the stages of its newest round, as the ledger tells them, and how far
the running one has come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from loop.work_done import read_work_done
from store.errors import DeltaloopError

if TYPE_CHECKING:
    from loop.bootstrap import Home

EVERY_S = 1.0
ALIVE = 15
"""Looks without news after which a comment keeps the connection open."""


async def progress_events(home: Home, campaign: str) -> AsyncIterator[str]:
    """An event for each change, the first one at once; ends when the client goes."""
    told, silent = "", 0
    while True:
        try:
            now = json.dumps(await anyio.to_thread.run_sync(progress_of, home, campaign))
        except DeltaloopError:  # a busy or absent database: the next look will tell
            now = told
        silent = 0 if now != told else silent + 1
        if now != told:
            told = now
            yield f"data: {told}\n\n"
        elif silent % ALIVE == 0:
            yield ": alive\n\n"
        await anyio.sleep(EVERY_S)


def progress_of(home: Home, campaign: str) -> dict[str, Any]:
    """{campaign status, order, round, stages: [{name, status, seconds}], work}; of the newest round."""
    ledger, work = home.ledger, read_work_done(home.paths.progress(campaign))
    row, rounds = ledger.find_campaign(campaign), ledger.rounds(campaign)
    stages = rounds[-1].stages if rounds else ()
    return {
        "status": str(row.status) if row else "absent",
        "order": str(ledger.find_order(campaign)),
        "round": rounds[-1].index if rounds else None,
        "stages": [
            {"name": stage.name, "status": str(stage.status), "seconds": round(stage.seconds, 1)} for stage in stages
        ],
        "work": None if work is None else asdict(work) | {"line": work.line()},
    }
