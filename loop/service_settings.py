"""What `deltaloop serve` does when, and where it listens: the `[service]` table of a campaign file."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from loop.section import Positive, Section
from store.remedies import BACKUPS

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

OFF = "off"
BACK_TO_BACK = "back-to-back"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_INTERVAL = re.compile(r"([1-9]\d{0,5})([smhd])")


def interval_of(trigger: str) -> timedelta | None:
    """`90s`, `30m`, `6h` or `2d` as a length of time; None if it is something else."""
    found = _INTERVAL.fullmatch(trigger)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def cron_of(expression: str) -> BaseTrigger:
    """A crontab expression of five fields, in UTC. ValueError if it is none."""
    from apscheduler.triggers.cron import CronTrigger

    return CronTrigger.from_crontab(expression, timezone="UTC")


def _is_trigger(value: str) -> str:
    if value != OFF and interval_of(value) is None:
        try:
            cron_of(value)
        except ValueError as error:
            raise ValueError(
                f'neither "off", nor an interval like "6h" (s, m, h, d), nor a crontab expression ({error})'
            ) from None
    return value


def _is_trigger_of_rounds(value: str) -> str:
    return value if value == BACK_TO_BACK else _is_trigger(value)


Trigger = Annotated[str, AfterValidator(_is_trigger)]


class Serving(Section):
    """What `deltaloop serve` does when, and where it listens (docs/service.md). Read at its start."""

    rounds: Annotated[str, AfterValidator(_is_trigger_of_rounds)] = BACK_TO_BACK
    """When a round starts: `back-to-back`, an interval like `6h`, a crontab expression in UTC, or `off`."""
    score: Trigger = "0 1 * * *"
    """When the pool's Δ is measured for the current student, between rounds: an interval, crontab, or `off`."""
    verify: Trigger = "0 2 * * *"
    """When every digest of the home is recomputed; likewise."""
    backup: Trigger = "0 3 * * *"
    """When an archive is written; likewise."""
    gc: Trigger = "0 4 * * *"
    """When what no row names, and is a week old, is removed; likewise."""
    backup_dir: str = BACKUPS
    """Folder of the archives; a relative one is in the home."""
    backups: Positive = 7
    """Archives that are kept; older ones are deleted."""
    misfire_s: Positive = 3600
    """A job that could not start for this long, e.g. on a suspended machine, is left out until its next time."""
    host: str = "127.0.0.1"
    """Where the HTTP API listens. Any but this machine's own needs a token in `DELTALOOP_TOKEN`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8642
    """0 takes a free one, and says which."""
    log_mb: Positive = 10
    """Size at which `logs/deltaloop.log` in the home begins anew."""
    log_files: Positive = 5
    """Log files that are kept beside the newest."""
