"""Commands for whoever keeps a campaign running: the service, and orders to a controller from another process."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from loop.cli.arguments import (
    DEFAULT_HOME,
    FileArgument,
    HomeOption,
    LedgerOption,
    LogOption,
    SetOption,
    again,
    begin_log,
    progress_of,
    resumable,
    typed,
)
from loop.logs import Format, tell
from store.errors import DeltaloopError

if TYPE_CHECKING:
    from loop.config import CampaignSettings
    from loop.ports import Ports
    from store.records import Version

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Campaign.")]

TOKEN = "DELTALOOP_TOKEN"
"""The environment variable that holds the token which the HTTP API asks for."""


def serve(
    file: FileArgument,
    set_: SetOption = None,
    log: LogOption = Format.PLAIN,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Keep a campaign going: rounds, checks and backups when they are due, and an HTTP API."""
    from loop.api.server import answering
    from loop.bootstrap import check_teacher, make_ports, online_budgets, open_home
    from loop.config import load_settings
    from loop.control import controlling
    from loop.service import Service
    from loop.tune_settings import load_tune

    def read() -> CampaignSettings:
        return load_settings(file, set_ or [])

    settings = read()
    check_teacher(settings)
    place = open_home(home, ledger)
    begin_log(settings, place, log, console=logging.INFO)
    command = again(["serve", str(file), *typed(None, set_)], home, ledger)
    with resumable(command), controlling(place.ledger, settings.name) as control:
        progress = control.watching(progress_of(log, place.paths.progress(settings.name)))

        def make(settings: CampaignSettings) -> tuple[Ports, Version, Version]:
            ports, student, teacher = make_ports(place, settings, progress)
            budget = online_budgets(place, settings, load_tune(file, settings, set_ or []))
            return replace(ports, budget=budget), student, teacher

        service = Service(place, read, make, control)
        with answering(place, service, settings.service, os.environ.get(TOKEN)) as url:
            print(f"campaign `{settings.name}` is served at {url}", flush=True)
            service.serve()


def ui(
    port: Annotated[
        int, typer.Option(min=1, max=65533, help="Of our pages; MLflow's are on the next, Optuna's on the one after.")
    ] = 8650,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Our pages, MLflow's and Optuna's of a home, side by side on local ports, until Ctrl-C."""
    from loop.api.server import Looking, answering
    from loop.bootstrap import make_studies, open_home
    from loop.service_settings import Serving
    from loop.stopping import listening
    from loop.viewers import showing, viewers

    others = viewers(home.absolute(), port + 1)
    place = open_home(home, ledger)
    make_studies(place)
    with (
        resumable(again(["ui"], home, ledger)),
        listening() as stopping,
        showing(others, place.paths.home / "logs") as children,
        answering(place, Looking(), Serving(port=port), os.environ.get(TOKEN)) as url,
    ):
        print(f"deltaloop  {url}/dashboard", *(f"{one.name:<9}  {one.url}" for one in others), sep="\n", flush=True)
        while children and not stopping.changed.wait(1):
            for child in [one for one in children if one.process.poll() is not None]:
                children.remove(child)
                tell(f"{child.viewer.name} ended with code {child.process.returncode}: see {child.log}")
        stopping.changed.wait()
        stopping.look()


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
    from store.owners import is_held
    from store.records import Order

    place = open_home(home, ledger)
    lease = place.ledger.find_lease(name)
    if lease is None or not is_held(lease):
        raise DeltaloopError(f"nobody runs campaign `{name}`: there is nothing to stop (`deltaloop status` shows it)")
    place.ledger.give_order(name, Order.STOP)
    print(f"campaign `{name}`: process {lease.owner.pid} on {lease.owner.host} ends within 12 s")
