"""What a campaign may spend, and what it has spent: a limit that is reached ends the run, and nothing is lost.

    stage begins    -> free disk against its floor     (DiskFull: failed, free some and run again)
    samples drawn   -> committed, then counted         (LimitReached: a normal end, raise the limit and run again)
    any progress    -> seconds counted

What earlier runs spent is read from the ledger, so that a restart buys nothing. Limits are no facts: no stage's input
and no fingerprint depends on them, and a run that goes on after one finds what an unlimited run finds.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from loop.config import Limits
from loop.ports import Progress
from loop.progress import Watched
from store.errors import DiskFull, LimitReached
from store.records import Spent

CAMPAIGN = "campaign"
MB = 1_000_000


def drawn(spent: Spent) -> tuple[int, int]:
    """Responses, and tokens in them, training included."""
    return (
        spent.teacher_samples + spent.student_samples + spent.generator_samples,
        spent.teacher_tokens + spent.student_tokens + spent.generator_tokens + spent.train_tokens,
    )


class Spending:
    """Counts what the current stage and the whole campaign spend, and compares it with the limits."""

    def __init__(
        self,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        folder: Path | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder` is where free disk is looked for; None looks nowhere."""
        self._limits: Mapping[str, Mapping[str, int]] = {
            "samples": dict(limits.samples.items()),
            "tokens": dict(limits.tokens.items()),
            "seconds": dict(limits.seconds.items()),
        }
        self._free_disk_mb = limits.free_disk_mb
        self._folder = folder
        self._clock = clock
        self._campaign: Counter[str] = Counter()
        self._stage = ""
        self._in_stage: Counter[str] = Counter()
        self._told_s = 0.0

    @property
    def limits_campaign(self) -> bool:
        """Whether there is a limit for the campaign as a whole, so that earlier runs count."""
        return any(CAMPAIGN in limits for limits in self._limits.values())

    def counts_from(self, spent: Spent, seconds: float) -> None:
        """What the campaign's completed stages, and all attempts so far, have spent."""
        samples, tokens = drawn(spent)
        self._campaign = Counter({"samples": samples, "tokens": tokens, "seconds": seconds})

    def begin(self, stage: str, earlier_s: float) -> None:
        """A stage begins, or goes on after `earlier_s` seconds of earlier attempts. DiskFull, LimitReached."""
        self._stage, self._told_s = stage, self._clock()
        self._in_stage = Counter({"seconds": earlier_s})
        self._need_disk()
        self._compare()

    def draw(self, samples: int, tokens: int) -> None:
        """So many responses were drawn, and are committed. LimitReached if they were the last ones allowed."""
        self._count(samples=samples, tokens=tokens)
        self._compare()

    def end(self, spent: Spent) -> None:
        """The stage has ended; what it spent on training is known only now."""
        self._count(samples=0, tokens=spent.train_tokens)
        self._stage = ""

    def watching(self, progress: Progress) -> Progress:
        """Progress that ends the run when its time is over."""
        return Watched(progress, self.look)

    def look(self) -> None:
        """Compare with the limits: time has passed. LimitReached."""
        self._count(samples=0, tokens=0)
        self._compare()

    def _count(self, *, samples: int, tokens: int) -> None:
        now = self._clock()
        spent = {"samples": samples, "tokens": tokens, "seconds": now - self._told_s}
        self._told_s = now
        for counter in (self._campaign, self._in_stage):
            counter.update(spent)

    def _compare(self) -> None:
        if not self._stage:
            return
        for unit, limits in self._limits.items():
            for name, spent in ((CAMPAIGN, self._campaign), (self._stage, self._in_stage)):
                limit = limits.get(name)
                if limit is not None and spent[unit] >= limit:
                    of = "the campaign" if name == CAMPAIGN else f"stage `{name}`"
                    raise LimitReached(
                        f"{of} has spent {spent[unit]:.0f} {unit} and limits.{unit}.{name} = {limit}: raise it and run"
                        " again to go on"
                    )

    def _need_disk(self) -> None:
        if self._folder is not None:
            need_disk(f"stage `{self._stage}`", self._folder, self._free_disk_mb)


def need_disk(what: str, folder: Path, floor_mb: int, *, takes_bytes: int = 0) -> None:
    """DiskFull if less than the floor is free on the disk of a folder, or would be once so much is written."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free - takes_bytes < floor_mb * MB:
        taken = f", of which it takes up to {takes_bytes // MB}" if takes_bytes else ""
        raise DiskFull(
            f"{what} does not start: {free // MB} MB are free on the disk of {place}{taken}, less than"
            f" limits.free_disk_mb = {floor_mb}; free some (`deltaloop gc`) and run again"
        )
