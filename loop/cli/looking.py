"""Commands that only look: status, a comparison, what this machine has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from loop.cli.arguments import DEFAULT_HOME, HomeOption, LedgerOption, SetOption
from store.errors import DeltaloopError


def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Campaign; by default the newest.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, or null if there is none.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Rounds, stages, Δ and accuracy of a campaign."""
    from loop.bootstrap import holds_nothing, open_home
    from loop.status import (
        campaign_table,
        campaigns_table,
        find_campaign,
        order_lines,
        show,
        status_of,
        unfinished,
        work_lines,
    )

    place = None if name is None and holds_nothing(home, ledger) else open_home(home, ledger)
    row = None if place is None else find_campaign(place.ledger, name)
    if place is None or row is None:
        nothing = (
            f"no campaign in {home} yet; `deltaloop init DIR` writes a campaign file, `deltaloop run FILE` runs it"
        )
        print("null" if as_json else nothing)
        return
    summary = status_of(place, row)
    if as_json:
        print(json.dumps(summary, allow_nan=False))
        return
    if name is None and len(place.ledger.campaigns()) > 1:
        show(campaigns_table(place.ledger.campaigns()))
    show(campaign_table(summary))
    for line in [*unfinished(place.ledger.rounds(row.name)), *work_lines(summary), *order_lines(summary)]:
        print(line)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="Campaign.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Campaign that is compared with it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Two campaigns, paired by question, with intervals; what each spent, and where their settings differ."""
    from loop.bootstrap import open_home
    from loop.comparison import as_json as json_of
    from loop.comparison import compare as compare_campaigns
    from loop.comparison import comparison_tables
    from loop.status import find_campaign, show

    place = open_home(home, ledger)
    for name in (first, second):
        find_campaign(place.ledger, name)
    found = compare_campaigns(place.ledger, place.blobs, first, second)
    if as_json:
        print(json.dumps(json_of(found), allow_nan=False))
    else:
        show(comparison_tables(found))


def doctor(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Campaign file to check for.")] = None,
    set_: SetOption = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask each server a few questions, to see that pictures reach its model.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """What this machine has, what a campaign file needs, and what is missing."""
    from loop.config import load_settings
    from loop.doctor import examine
    from loop.findings import findings_table
    from loop.status import show

    findings = examine(load_settings(file, set_ or []) if file is not None else None, home, ledger, probe=probe)
    show(findings_table(findings))
    missing = [finding for finding in findings if finding.missing]
    if missing:
        raise DeltaloopError("; ".join(f"{finding.what} is missing: {finding.remedy}" for finding in missing))
