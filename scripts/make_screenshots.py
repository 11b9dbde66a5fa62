"""Takes the pictures of the dashboard in docs/: `python -m scripts.make_screenshots [--home DIR] [--campaign smoke]`.

The campaign must be finished, e.g. by `deltaloop run scripts/campaigns/smoke.toml`; the walk is the browser test's.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from loop.bootstrap import open_home
from scripts.dashboard_tour import opened_page, served, walk

SHOWN = ("campaign", "regions", "prompts", "prompt")
FOLDER = Path(__file__).parents[1] / "docs" / "figures"
SIZE = {"width": 1000, "height": 800}


def take(home: Path, campaign: str, round: int, folder: Path) -> list[Path]:
    """Take the pictures; returns their files, `dashboard_<page>.png`."""
    taken: list[Path] = []
    with closing(open_home(home)) as opened, served(opened) as url, opened_page(viewport=SIZE) as page:

        def look(name: str) -> None:
            if name in SHOWN:
                taken.append(folder / f"dashboard_{name}.png")
                page.screenshot(path=str(taken[-1]))

        walk(page, url, campaign, round, look)
    return taken


def main() -> None:
    """Refresh docs/figures/dashboard_*.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path, default=Path("mlruns"))
    parser.add_argument("--campaign", default="smoke")
    parser.add_argument("--round", type=int, default=1)
    chosen = parser.parse_args()
    for file in take(chosen.home, chosen.campaign, chosen.round, FOLDER):
        print(f"{file} {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
