"""Coroutines side by side, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")


async def side_by_side(
    work: Iterator[Coroutine[Any, Any, T]], limit: int
) -> AsyncGenerator[set[asyncio.Task[T]], None]:
    """Yield, as they end, the tasks of all coroutines, at most `limit` of which run at a time.

    Coroutines are asked for when there is room. Whoever leaves early closes the generator: what runs is cancelled.
    """
    running: set[asyncio.Task[T]] = set()
    try:
        while True:
            running.update(asyncio.create_task(one) for one in islice(work, limit - len(running)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            yield done
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
