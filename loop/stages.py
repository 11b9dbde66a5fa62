"""The stage log: runs a stage once, and replays it ever after.

A call `stage("score", score_pool, work, student, using=ports)` digests the facts `work` and `student` by parameter
name, looks the stage up in the ledger, and

    completed, same inputs    -> returns the recorded output; nothing runs
    completed, other inputs   -> StageChanged, naming the input that changed
    anything else             -> runs the function, stores its output as a blob, then marks the stage completed

An exception is recorded and raised as StageFailed; an interruption (Ctrl-C) or a limit that is reached marks the stage
stopped. What a stage `uses` (ports) is not a fact and is not digested. Before a stage runs, `look` is called, which may
wait or interrupt.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter

from loop.logs import working_at
from loop.ports import Blobs, Ledger, Spends, Tracker
from store.errors import DeltaloopError, LimitReached, StageChanged, StageFailed
from store.records import Spent, Status, digest

T = TypeVar("T")
log = logging.getLogger(__name__)


class StageLog:
    """The stages of one round of one campaign."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        tracker: Tracker,
        campaign: str,
        round: int,
        *,
        spending: Spends,
        look: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._tracker = tracker
        self._campaign = campaign
        self._round = round
        self._spending = spending
        self._look = look
        self._clock = clock

    def __call__(self, name: str, function: Callable[..., T], *facts: Any, using: Any = None) -> T:
        """Run a stage, or replay it. See the module docstring."""
        output_type = get_type_hints(function)["return"]
        inputs = _digests(function, facts)
        done = self._ledger.find_stage(self._campaign, self._round, name)
        if done is not None and done.status is Status.COMPLETED and done.output is not None:
            self._refuse_changed(name, dict(done.inputs), inputs)
            return TypeAdapter(output_type).validate_json(self._blobs.get(done.output))
        attempt = partial(function, *facts, *([] if using is None else [using]))
        with working_at(self._campaign, self._round, name):
            return self._run(name, attempt, inputs, output_type, 0.0 if done is None else done.seconds)

    def _run(self, name: str, attempt: Callable[[], T], inputs: dict[str, str], kind: Any, earlier_s: float) -> T:
        where = (self._campaign, self._round, name)
        self._look()
        self._ledger.start_stage(*where, inputs)
        log.info("begins")
        begun = self._clock()

        def seconds() -> float:
            return self._clock() - begun

        try:
            self._spending.begin(name, earlier_s)
            result = attempt()
            output = self._blobs.put(TypeAdapter(kind).dump_json(result))
        except LimitReached as reached:
            self._ledger.end_stage(*where, Status.STOPPED, seconds=seconds(), error=str(reached))
            raise
        except DeltaloopError as error:
            self._ledger.end_stage(*where, Status.FAILED, seconds=seconds(), error=str(error))
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            self._ledger.end_stage(*where, Status.FAILED, seconds=seconds(), error=message)
            raise StageFailed(f"stage `{name}` of round {self._round} of `{self._campaign}`: {message}") from error
        except BaseException:
            self._ledger.end_stage(*where, Status.STOPPED, seconds=seconds())
            raise
        self._ledger.end_stage(*where, Status.COMPLETED, seconds=seconds(), output=output)
        log.info("completed in %.1f s", seconds())
        self._spending.end(getattr(result, "spent", Spent()))
        self._tracker.stage_ended(*where, result, seconds())
        return result

    def _refuse_changed(self, name: str, before: dict[str, str], now: dict[str, str]) -> None:
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if changed:
            raise StageChanged(
                f"stage `{name}` of round {self._round} of `{self._campaign}` is completed, but its input"
                f" {', '.join(f'`{key}`' for key in changed)} is not what it was; start a campaign under a new name"
            )


def recorded(ledger: Ledger, blobs: Blobs, campaign: str, round: int, name: str, kind: type[T]) -> T | None:
    """The output of a completed stage, or None."""
    row = ledger.find_stage(campaign, round, name)
    if row is None or row.status is not Status.COMPLETED or row.output is None:
        return None
    return TypeAdapter(kind).validate_json(blobs.get(row.output))


def _digests(function: Callable[..., Any], facts: tuple[Any, ...]) -> dict[str, str]:
    """The digest of each fact, by the name of the parameter that takes it."""
    names = list(inspect.signature(function).parameters)[: len(facts)]
    return {name: digest(TypeAdapter(type(fact)).dump_json(fact)) for name, fact in zip(names, facts, strict=True)}
