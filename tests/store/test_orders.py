"""What an operator asks of a controller, on every database."""

from __future__ import annotations

import pytest

from store.errors import Missing
from store.ledger import Ledger
from store.owners import this_process
from store.records import Order
from tests.store.facts import start


def test_the_last_order_holds_and_is_that_of_one_campaign(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger, Ledger(ledger_url) as other:
        start(ledger)
        start(ledger, "another")
        assert ledger.find_order("demo") is Order.RUN
        other.give_order("demo", Order.PAUSE)
        assert ledger.find_order("demo") is Order.PAUSE
        assert ledger.find_order("another") is Order.RUN
        other.give_order("demo", Order.RUN)
        assert ledger.find_order("demo") is Order.RUN


def test_a_stop_is_meant_for_the_controller_that_is_there(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger, Ledger(ledger_url) as other:
        lease = ledger.take_lease("demo", this_process(), lease_s=30)
        other.give_order("demo", Order.STOP)
        assert ledger.find_order("demo") is Order.STOP
        ledger.release_lease(lease)
        ledger.take_lease("demo", this_process(), lease_s=30)
        assert ledger.find_order("demo") is Order.RUN


def test_a_pause_outlives_its_controller(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger:
        lease = ledger.take_lease("demo", this_process(), lease_s=30)
        ledger.give_order("demo", Order.PAUSE)
        ledger.release_lease(lease)
        ledger.take_lease("demo", this_process(), lease_s=30)
        assert ledger.find_order("demo") is Order.PAUSE


def test_nobody_can_order_what_nobody_has_heard_of(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger:
        with pytest.raises(Missing, match="no campaign 'gone'"):
            ledger.give_order("gone", Order.PAUSE)
        assert ledger.find_order("gone") is Order.RUN
