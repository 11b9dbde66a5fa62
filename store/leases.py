"""Leases: one controller per campaign, and no write of one that has lost its lease.

    take -> (campaign, token n) -> every writing transaction of this ledger checks token n and renews the lease
    another process takes it   -> token n+1 -> the next transaction with token n is rolled back with LeaseLost

Expiry goes by the clock of the database: the server's, or the host's for a file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Float, cast, extract, func, literal, select, update
from sqlmodel import col

from store.database import Database, now, put
from store.errors import CampaignHeld, LeaseLost
from store.owners import is_held
from store.records import Lease, Owner
from store.tables import LeaseRow

OWNER: Any = [LeaseRow.host, LeaseRow.pid, LeaseRow.boot, LeaseRow.started]


class Leases:
    """The part of the ledger that tells who works on a campaign."""

    _database: Database

    def take_lease(self, campaign: str, owner: Owner, *, lease_s: float) -> Lease:
        """Become the one that works on a campaign: from now on every transaction of this ledger needs, and renews, it.

        CampaignHeld names the owner that is alive. One that is known to be dead is displaced at once, any other when
        its lease has expired, or after `lease_s` if the clock was set back under it.
        """
        self._shorten(campaign, lease_s)
        with self._database.writing() as connection:
            held = _lease(connection, campaign)
            if held is not None and is_held(held):
                raise CampaignHeld(
                    f"campaign `{campaign}` is run by process {held.owner.pid} on {held.owner.host} since"
                    f" {held.since[:19]} UTC; wait for it or stop it (a dead one's lease expires in"
                    f" {held.remaining_s:.0f} s)"
                )
            token = 1 if held is None else held.token + 1
            row = {"campaign": campaign, "token": token} | vars(owner)
            put(connection, LeaseRow, [row | {"since": now(), "expires": 0.0}])
            guard = _guard(campaign, token, lease_s)
            guard(connection)
            lease = _lease(connection, campaign)
        assert lease is not None
        self._database.guard = guard
        return lease

    def renew_lease(self) -> None:
        """Heartbeat. LeaseLost if another process has taken the lease meanwhile."""
        with self._database.writing():
            pass  # the guard of the database does it

    def release_lease(self, lease: Lease) -> None:
        """Give a lease back: another process may take it at once. LeaseLost if one has already."""
        with self._database.writing() as connection:
            self._database.guard = None
            connection.execute(update(LeaseRow).where(*_own(lease.campaign, lease.token)).values(expires=0.0))

    def _shorten(self, campaign: str, lease_s: float) -> None:
        """A lease that ends later than one taken now was written before the clock was set back.

        A live owner renews it with its next heartbeat; that of a dead one must not last for the hours between.
        """
        with self._database.writing() as connection:
            held = _lease(connection, campaign)
            if held is not None and held.remaining_s > lease_s:
                ends = _clock(connection) + lease_s
                connection.execute(update(LeaseRow).where(*_own(campaign, held.token)).values(expires=ends))

    def find_lease(self, campaign: str) -> Lease | None:
        """The newest lease of a campaign, expired or not, or None if nobody ever took one."""
        with self._database.reading() as connection:
            return _lease(connection, campaign)


def _guard(campaign: str, token: int, lease_s: float) -> Callable[[Connection], None]:
    def check_and_renew(connection: Connection) -> None:
        renewed = update(LeaseRow).where(*_own(campaign, token)).values(expires=_clock(connection) + lease_s)
        if not connection.execute(renewed).rowcount:
            lease = _lease(connection, campaign)
            taker = "another process" if lease is None else f"process {lease.owner.pid} on {lease.owner.host}"
            raise LeaseLost(
                f"campaign `{campaign}` was taken over by {taker} while this process stood still; nothing more is"
                " written here, and the campaign goes on there"
            )

    return check_and_renew


def _own(campaign: str, token: int) -> tuple[Any, ...]:
    return col(LeaseRow.campaign) == campaign, col(LeaseRow.token) == token


def _lease(connection: Connection, campaign: str) -> Lease | None:
    remaining = col(LeaseRow.expires) - _clock(connection)
    wanted = select(col(LeaseRow.token), col(LeaseRow.since), col(LeaseRow.expires), remaining, *OWNER)
    row = connection.execute(wanted.where(col(LeaseRow.campaign) == campaign)).one_or_none()
    if row is None:
        return None
    token, since, expires, remaining_s, *owner = row
    return Lease(campaign, token, Owner(*owner), since, remaining_s if expires else -math.inf)


def _clock(connection: Connection) -> Any:
    """Seconds since 1970, as SQL."""
    if connection.dialect.name == "postgresql":
        return cast(extract("epoch", func.clock_timestamp()), Float)
    return literal(time.time())
