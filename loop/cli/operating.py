"""Commands for whoever keeps a campaign running: orders to its controller, from another process."""

from __future__ import annotations

from typing import Annotated

import typer

from loop.cli.arguments import DEFAULT_HOME, HomeOption, LedgerOption
from store.errors import DeltaloopError

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Campaign.")]


def pause(name: NameArgument, home: HomeOption = DEFAULT_HOME, ledger: LedgerOption = None) -> None:
    """Let the controller of a campaign wait after what it commits next; one that starts later waits too."""
    from loop.bootstrap import open_home
    from store.records import Order

    open_home(home, ledger).ledger.give_order(name, Order.PAUSE)
    print(f"campaign `{name}` pauses after the next commit; go on with: deltaloop resume {name}")


def resume(name: NameArgument, home: HomeOption = DEFAULT_HOME, ledger: LedgerOption = None) -> None:
    """Let the controller of a paused campaign go on."""
    from loop.bootstrap import open_home
    from store.records import Order

    open_home(home, ledger).ledger.give_order(name, Order.RUN)
    print(f"campaign `{name}` goes on")


def stop(name: NameArgument, home: HomeOption = DEFAULT_HOME, ledger: LedgerOption = None) -> None:
    """End the controller of a campaign, as SIGTERM does, also on another host."""
    from loop.bootstrap import open_home
    from store.owners import is_dead
    from store.records import Order

    place = open_home(home, ledger)
    lease = place.ledger.find_lease(name)
    if lease is None or lease.remaining_s <= 0 or is_dead(lease.owner):
        raise DeltaloopError(f"nobody runs campaign `{name}`: there is nothing to stop (`deltaloop status` shows it)")
    place.ledger.give_order(name, Order.STOP)
    print(f"campaign `{name}`: process {lease.owner.pid} on {lease.owner.host} ends within 12 s")
