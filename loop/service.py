"""The service: a campaign's rounds and the keeping of its home, each when it is due, for weeks.

    rounds   the next round of the campaign    main thread
    score    Δ of the pool for its student     main thread
    verify   every digest is recomputed        the scheduler's thread, beside the rounds
    backup   a new archive, old ones deleted   the scheduler's thread, likewise
    gc       what no row names is removed      the scheduler's thread, likewise

What the main thread is asked for has a key, a round that of the round: asked for twice, it is done once. The campaign
file is read again before each round. A job that fails is told in one line, and is due again the next time; whatever a
failed round has committed is kept, and the next attempt goes on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from loop.campaign import is_finished, run_campaign
from loop.control import Control
from loop.delta_report import measure, summary_lines
from loop.scheduling import Desk, add_job, scheduling
from loop.service_settings import BACK_TO_BACK, interval_of
from loop.spending import need_disk
from loop.status import RoundLines
from store.backup import archive_bytes, back_up
from store.database import now
from store.errors import DeltaloopError, LeaseLost, LimitReached, UsageError
from store.garbage import collect
from store.index import index_problems
from store.records import Status, Version
from store.verify import verify

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

    from loop.bootstrap import Home
    from loop.config import CampaignSettings
    from loop.ports import Ports

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ran:
    """How a job ended the last time."""

    at: str
    """UTC, ISO 8601."""
    seconds: float
    error: str | None


@dataclass(frozen=True)
class JobState:
    """A job, as the API shows it."""

    name: str
    trigger: str
    due: str | None
    """UTC, ISO 8601; None while it is not to be done again."""
    last: Ran | None


class Service:
    """What is done for one campaign, and how it went."""

    def __init__(
        self,
        home: Home,
        read: Callable[[], CampaignSettings],
        make_ports: Callable[[CampaignSettings], tuple[Ports, Version, Version]],
        control: Control,
    ) -> None:
        """`read` gives the settings as they are now; `make_ports` what a campaign works with."""
        self._home = home
        self._read = read
        self._make_ports = make_ports
        self._control = control
        self._settings = read()
        self._made: tuple[CampaignSettings, tuple[Ports, Version, Version]] | None = None
        self._spent: CampaignSettings | None = None
        """Settings under which a limit was reached: nothing more is to be had until they change."""
        self._desk = Desk()
        self._scheduler: BackgroundScheduler | None = None
        self._last: dict[str, Ran] = {}

    @property
    def campaign(self) -> str:
        """Its name."""
        return self._settings.name

    def serve(self) -> None:
        """Work until the control ends it: `loop.stopping.Stopped`."""
        serving = self._settings.service
        with scheduling(serving.misfire_s) as self._scheduler:
            for name, (trigger, job) in self._jobs().items():
                add_job(self._scheduler, name, trigger, job, now=name == "rounds" and self._is_due_at_once())
            try:
                self._desk.serve(self._control.look)
            finally:
                self._end()

    def takes_work(self) -> bool:
        """Whether it has begun, and is not ending."""
        return self._scheduler is not None and not self._control.is_stopping

    def jobs(self) -> list[JobState]:
        """All jobs, when they are due, and how they went."""
        due = {} if self._scheduler is None else {job.id: job.next_run_time for job in self._scheduler.get_jobs()}
        return [
            JobState(name, trigger, due[name].isoformat() if due.get(name) else None, self._last.get(name))
            for name, (trigger, _) in self._jobs().items()
        ]

    def _jobs(self) -> Mapping[str, tuple[str, Callable[[], None]]]:
        serving = self._settings.service
        return {
            "rounds": (serving.rounds, self._due_rounds),
            "score": (serving.score, partial(self._ask, "score", self.score)),
            "verify": (serving.verify, partial(self._told, "verify", self.verify)),
            "backup": (serving.backup, partial(self._told, "backup", self.backup)),
            "gc": (serving.gc, partial(self._told, "gc", self.gc)),
        }

    # what each job does
    def rounds(self) -> None:
        """Have the next round done; back to back, all that are left."""
        while True:
            index = self.next_round()
            self._ask("rounds", partial(self.round, index), key=f"{self.campaign}/round {index}")
            if self._settings.service.rounds != BACK_TO_BACK or self.next_round() == index:  # failed, or the last
                return

    def next_round(self) -> int:
        """The index of the first round that is not completed; the preparation is done with round 1."""
        rows = self._home.ledger.rounds(self.campaign)
        return max(1, sum(row.status is Status.COMPLETED for row in rows))

    def round(self, index: int) -> None:
        """Do a round, or what is left of it; nothing if it is completed, or one too many."""
        settings = self._reread()
        if self.next_round() > index or is_finished(self._home.ledger, self._home.blobs, settings):
            return
        if settings == self._spent:
            return
        try:
            run_campaign(settings, *self._opened(settings), upto=index)
        except LimitReached:
            self._spent = settings
            raise
        except Exception:
            self._made = None  # an engine may be what broke: the next attempt gets a new one
            raise

    def score(self) -> None:
        """Measure Δ of the pool for the student that the campaign has come to."""
        settings = self._reread()
        for line in summary_lines(measure(settings, *self._opened(settings))):
            log.info(line)

    def verify(self) -> None:
        """Recompute every digest. DeltaloopError if something does not match."""
        home = self._home
        found = verify(home.ledger, home.blobs, home.checkpoints)
        # An index that a round is saving looks damaged for a moment, but not twice.
        indices = set(index_problems(home.paths.index)).intersection(index_problems(home.paths.index))
        problems = [*found.problems, *sorted(indices)]
        for problem in problems:
            log.error(problem)
        log.info("fingerprint: %s; %d orphan blobs", found.fingerprint, len(found.orphans))
        if problems:
            raise DeltaloopError(f"{len(problems)} problem(s) in the home; see `deltaloop verify`")

    def backup(self) -> None:
        """Write an archive, and delete the oldest ones."""
        serving, home = self._settings.service, self._home
        folder = home.paths.home / serving.backup_dir
        size = archive_bytes(home.ledger, home.paths.blobs, home.paths.checkpoints, home.paths.index)
        need_disk("the backup", folder, self._settings.limits.free_disk_mb, takes_bytes=size)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.campaign}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
        made = back_up(home.ledger, home.blobs, home.checkpoints, home.paths.index, file)
        for old in sorted(folder.glob(f"{self.campaign}-{'[0-9]' * 8}T{'[0-9]' * 6}Z.tar"))[: -serving.backups]:
            old.unlink()
        log.info("wrote %s: fingerprint %s", file, made.fingerprint)
        if made.problems:
            raise DeltaloopError(f"{len(made.problems)} damaged file(s) are not in {file}; see `deltaloop verify`")

    def gc(self) -> None:
        """Remove what no row names, once it is old."""
        home = self._home
        found = collect(home.ledger, home.blobs, home.checkpoints, home.paths.home)
        log.info("removed %d piece(s) of garbage, %.1f MB", len(found), sum(one.num_bytes for one in found) / 1e6)

    # how it is done
    def _reread(self) -> CampaignSettings:
        """The settings as the file has them now; only `[service]` stays as it was at the start."""
        settings = self._read()
        if settings.name != self.campaign:
            raise UsageError(f"the file names campaign `{settings.name}` now, and `{self.campaign}` is served; restart")
        return settings.model_copy(update={"service": self._settings.service})

    def _opened(self, settings: CampaignSettings) -> tuple[Ports, Version, Version]:
        """What the campaign works with, made anew only where the settings have changed."""
        if self._made is None or self._made[0] != settings:
            self._made = None  # models that are not needed any more make room first
            ports, student, teacher = self._make_ports(settings)
            tracker = RoundLines(ports.tracker, self._home.ledger, self._home.blobs, log.info)
            self._made = settings, (replace(ports, tracker=tracker, look=self._control.look), student, teacher)
        return self._made[1]

    def _due_rounds(self) -> None:
        try:
            self.rounds()
        except DeltaloopError as error:  # the ledger cannot be asked which round is next
            log.error("rounds: %s", error)

    def _ask(self, name: str, work: Callable[[], None], key: str = "") -> None:
        """Have the main thread do a job."""
        self._desk.ask(key or name, partial(self._told, name, work))

    def _told(self, name: str, work: Callable[[], None]) -> None:
        """Do a job; a failure is told, and the service goes on."""
        begun, at, error = time.monotonic(), now(), None
        try:
            work()
        except LeaseLost:
            raise
        except LimitReached as reached:
            log.info("%s: %s", name, reached)
        except DeltaloopError as failure:
            error = str(failure)
            log.error("%s: %s", name, error)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
            log.exception("%s failed", name)
        self._last[name] = Ran(at, time.monotonic() - begun, error)

    def _is_due_at_once(self) -> bool:
        """Whether rounds begin at the start: by a crontab only if one was interrupted."""
        interrupted = any(row.status is not Status.COMPLETED for row in self._home.ledger.rounds(self.campaign))
        rounds = self._settings.service.rounds
        return interrupted or rounds == BACK_TO_BACK or interval_of(rounds) is not None

    def _end(self) -> None:
        """Between rounds a campaign is running; when nobody serves it any more it is stopped."""
        with suppress(DeltaloopError):  # the lease may be lost: then it runs elsewhere
            row = self._home.ledger.find_campaign(self.campaign)
            if row is not None and row.status is Status.RUNNING:
                self._home.ledger.end_campaign(self.campaign, Status.STOPPED)
