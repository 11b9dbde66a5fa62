"""One owner at a time, and no write of one that has lost its lease, on every database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from store.errors import CampaignHeld, LeaseLost
from store.ledger import Ledger
from store.owners import is_dead, this_process
from store.records import Owner

ALIVE = this_process()
ELSEWHERE = Owner("elsewhere", 17, "another boot", "4")


@pytest.fixture
def pair(ledger_url: str) -> Iterator[tuple[Ledger, Ledger]]:
    with Ledger(ledger_url) as first, Ledger(ledger_url) as second:
        yield first, second


@pytest.mark.parametrize("owner", [ALIVE, ELSEWHERE])
def test_a_live_owner_is_named_to_the_second_one(pair: tuple[Ledger, Ledger], owner: Owner) -> None:
    first, second = pair
    taken = first.take_lease("demo", owner, lease_s=30)
    assert 20 < taken.remaining_s <= 30
    with pytest.raises(
        CampaignHeld, match=f"`demo` is run by process {owner.pid} on {owner.host} since {taken.since[:19]}"
    ):
        second.take_lease("demo", ALIVE, lease_s=30)
    second.take_lease("another", ALIVE, lease_s=30)
    found = second.find_lease("demo")
    assert found is not None
    assert (found.owner, found.token) == (owner, taken.token)


def test_a_lease_that_was_given_back_is_free_at_once(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    first.release_lease(first.take_lease("demo", ALIVE, lease_s=30))
    assert second.take_lease("demo", ALIVE, lease_s=30).token == 2
    first.add_plan("without a lease", [])


@pytest.mark.parametrize(
    "dead", [replace(ALIVE, pid=2**22 + 1), replace(ALIVE, started="0")], ids=["gone", "its pid given out again"]
)
def test_an_owner_that_is_known_to_be_dead_is_displaced_at_once(pair: tuple[Ledger, Ledger], dead: Owner) -> None:
    first, second = pair
    first.take_lease("demo", dead, lease_s=1000)
    assert second.take_lease("demo", ALIVE, lease_s=30).owner == ALIVE


def test_any_other_owner_is_displaced_after_expiry_only(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    first.take_lease("demo", ELSEWHERE, lease_s=1000)
    with pytest.raises(CampaignHeld):
        second.take_lease("demo", ALIVE, lease_s=30)
    first.release_lease(first.take_lease("other", ELSEWHERE, lease_s=0.0))
    first.take_lease("other", ELSEWHERE, lease_s=-1.0)
    assert second.take_lease("other", ALIVE, lease_s=30).owner == ALIVE


def test_who_has_lost_its_lease_writes_nothing_more(pair: tuple[Ledger, Ledger]) -> None:
    first, second = pair
    lease = first.take_lease("demo", ELSEWHERE, lease_s=-1.0)
    first.add_plan("before", [])
    second.take_lease("demo", ALIVE, lease_s=30)
    for write in (lambda: first.add_plan("after", []), first.renew_lease, lambda: first.release_lease(lease)):
        with pytest.raises(LeaseLost, match=f"taken over by process {ALIVE.pid}"):
            write()
    assert second.find_plan("before") == ()
    assert second.find_plan("after") is None
    second.add_plan("after", [["of the new owner"]])


def test_a_transaction_that_was_open_when_the_lease_was_lost_is_rolled_back(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger:
        ledger.take_lease("demo", ALIVE, lease_s=30)

        def write() -> None:
            with ledger.database.writing() as connection:
                connection.exec_driver_sql("INSERT INTO plans (key, batches) VALUES ('late', '[]')")
                connection.exec_driver_sql("UPDATE leases SET token = token + 1")

        with pytest.raises(LeaseLost):
            write()
        assert ledger.find_plan("late") is None


def test_a_write_renews_the_lease(ledger_url: str) -> None:
    with Ledger(ledger_url) as ledger:
        ledger.take_lease("demo", ALIVE, lease_s=30)
        with ledger.database.writing() as connection:
            connection.exec_driver_sql("UPDATE leases SET expires = 1")
        found = ledger.find_lease("demo")
        assert found is not None
        assert found.remaining_s > 20


def test_this_process_is_alive_and_one_of_an_unknown_boot_is_not_known_to_be_dead() -> None:
    assert not is_dead(ALIVE)
    assert not is_dead(replace(ELSEWHERE, pid=2**22 + 1))
    assert not is_dead(replace(ALIVE, boot="", pid=2**22 + 1))
