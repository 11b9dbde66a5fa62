"""Orders: what an operator asks of the controller of a campaign, from another process.

    give_order(campaign, PAUSE) -> one row per campaign -> the controller finds it by `find_order`, every second

A stop carries the token of the lease that it is meant for, so nobody need take it back.
"""

from __future__ import annotations

from sqlalchemy import Connection, select
from sqlmodel import col

from store.database import Database, now, put
from store.errors import Missing
from store.records import Order
from store.tables import CampaignTableRow, LeaseRow, OrderRow


class Orders:
    """The part of the ledger that tells what operators want."""

    _database: Database

    def give_order(self, campaign: str, order: Order) -> None:
        """Ask something of the controller of a campaign. Missing (a KeyError) if nobody has ever worked on it."""
        with self._database.writing() as connection:
            token = _token(connection, campaign)
            if not token and not connection.scalar(
                select(col(CampaignTableRow.name)).where(col(CampaignTableRow.name) == campaign)
            ):
                raise Missing(f"the ledger holds no campaign {campaign!r}; `deltaloop status` lists the campaigns")
            put(connection, OrderRow, [{"campaign": campaign, "order": order, "token": token, "since": now()}])

    def find_order(self, campaign: str) -> Order:
        """What is asked of the controller of a campaign now."""
        wanted = select(col(OrderRow.order), col(OrderRow.token)).where(col(OrderRow.campaign) == campaign)
        with self._database.reading() as connection:
            found = connection.execute(wanted).one_or_none()
            if found is None or (found.order is Order.STOP and found.token != _token(connection, campaign)):
                return Order.RUN
        order: Order = found.order
        return order


def _token(connection: Connection, campaign: str) -> int:
    """The token of the newest lease of a campaign; 0 if nobody ever took one."""
    return connection.scalar(select(col(LeaseRow.token)).where(col(LeaseRow.campaign) == campaign)) or 0
