"""Draws docs/figures/{delta_histogram,region_map,accuracy}.png from a campaign that a home's ledger holds.

    python -m scripts.refresh_figures [--home mlruns] [--campaign embedded] [--out docs/figures]

Reads the ledger and its blobs; MLflow is not asked. The region map is that of the first round: later ones show the same
regions with less Δ in them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from loop.adapters.campaign_figures import accuracy_figure, delta_figure, region_figure
from loop.summary import reader
from store.blobs import FileBlobs
from store.errors import DeltaloopError, UsageError
from store.ledger import Ledger

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures"


def refresh(home: Path, campaign: str, out: Path) -> list[Path]:
    """Write the figures; returns their files.

    UsageError if the home has no such campaign, or its first round has not been judged yet.
    """
    path = home / "ledger.db"
    if not path.is_file():
        raise UsageError(f"{home}: there is no ledger.db; run a campaign there first, or name its home with --home")
    with Ledger(path) as ledger:
        rounds = ledger.rounds(campaign)
        read = reader(FileBlobs(home / "blobs"))
        first = next((row for row in rounds if row.index == 1), None)
        pictures = {
            "delta_histogram": delta_figure(rounds, read),
            "region_map": region_figure(first, ledger, read) if first else None,
            "accuracy": accuracy_figure(rounds, read),
        }
    drawn = {out / f"{name}.png": png for name, png in pictures.items() if png is not None}
    if len(drawn) < len(pictures):
        missing = ", ".join(name for name, png in pictures.items() if png is None)
        raise UsageError(f"{home}: campaign `{campaign}` has nothing to draw for {missing}; finish its first round")
    out.mkdir(parents=True, exist_ok=True)
    for file, png in drawn.items():
        file.write_bytes(png)
    return list(drawn)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the options, draw, print the files."""
    parser = argparse.ArgumentParser(prog="python -m scripts.refresh_figures", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("mlruns"))
    parser.add_argument("--campaign", default="embedded")
    parser.add_argument("--out", type=Path, default=FIGURES)
    options = parser.parse_args(arguments)
    try:
        files = refresh(options.home, options.campaign, options.out)
    except DeltaloopError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for file in files:
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
