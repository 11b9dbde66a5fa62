"""What the doctor finds, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from rich.table import Table

from loop.status import table_of


@dataclass(frozen=True)
class Finding:
    """One thing, and how it stands."""

    what: str
    found: str
    missing: bool = False
    """Whether something that is needed is not there."""
    remedy: str = ""


def findings_table(findings: Sequence[Finding]) -> Table:
    """What is missing is marked, with its remedy."""
    table = table_of("doctor")
    for heading in ("", "what", "found", "remedy"):
        table.add_column(heading)
    for finding in findings:
        table.add_row("missing" if finding.missing else "ok", finding.what, finding.found, finding.remedy)
    return table


def installed(name: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
