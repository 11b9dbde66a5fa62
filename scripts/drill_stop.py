"""Drill of ends: `python -m scripts.drill_stop [--stops 20] [--seed 0]`.

The campaign is asked to end at random moments of all stages, in turns by SIGTERM, by Ctrl-C, by an order in the
ledger, and by a signal and a second one soon after; it is started again each time. Each end must come with its exit
code and within 10 s, and the facts must be those of an undisturbed run.

Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.drill_crash import (
    SMOKE,
    STARTING,
    Controller,
    Place,
    Tally,
    finish,
    load_libraries,
    places,
    reach,
    undisturbed,
)
from scripts.drill_crash import moments as drawn
from store.ledger import Ledger
from store.records import Order

LIMIT_S = 10.0
SECOND_S = 0.3
"""After the first signal."""


@dataclass(frozen=True)
class Way:
    """A way to ask for an end, and the exit codes that it may have."""

    name: str
    signals: tuple[signal.Signals, ...]
    codes: tuple[int, ...]


WAYS = (
    Way("SIGTERM", (signal.SIGTERM,), (0,)),
    Way("Ctrl-C", (signal.SIGINT,), (130,)),
    Way("order", (), (0,)),
    Way("twice", (signal.SIGTERM, signal.SIGINT), (0, 130)),  # 0 where it had ended before the second
)


def ask(place: Place, controller: Controller, way: Way) -> float:
    """Ask a controller to end; returns the seconds until it has."""
    begun = time.monotonic()
    if not way.signals:
        with Ledger(place.url) as ledger:
            ledger.give_order("smoke", Order.STOP)
    for number, sent in enumerate(way.signals):
        if number:
            time.sleep(SECOND_S)
        if controller.code() is None:
            os.kill(controller.pid, sent)
    controller.wait()
    return time.monotonic() - begun


def is_right(way: Way, code: int | None, seconds: float) -> bool:
    """Whether a controller ended as it should."""
    return code in way.codes and seconds <= LIMIT_S


def main() -> None:
    """Run the drill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `deltaloop run`")
    chosen = parser.parse_args()
    overrides = ["models.threads=1", *chosen.set]
    campaign = [str(SMOKE), *(word for override in overrides for word in ("--set", override))]
    load_libraries()
    with tempfile.TemporaryDirectory(prefix="deltaloop-stop-") as folder:
        found = drill(places(Path(folder), None), campaign, chosen.stops, chosen.seed)
    print(json.dumps({"stops": chosen.stops, **found, "seed": chosen.seed}))


def drill(homes: Iterator[Place], campaign: list[str], stops: int, seed: int) -> dict[str, object]:
    """Stop as often as that; prints what happens."""
    expected, seconds = undisturbed(next(homes), campaign)
    tally, place, planned = Tally(), next(homes), drawn(seed)
    took: dict[str, list[float]] = {way.name: [] for way in WAYS}
    wrong = done = 0
    while done < stops:
        stage, share = next(planned)
        if stage == STARTING:  # no lease yet, and nothing to keep: what follows is a new home
            if done:
                tally.compare(finish(place, campaign), expected)
                place = next(homes)
            continue
        controller = Controller(place, campaign)
        if not reach(place, controller, stage, share * seconds.get(stage, 0.1)):
            print(f"missed `{stage}`: the controller had ended with code {controller.code()}", flush=True)
            continue
        way = WAYS[done % len(WAYS)]
        done += 1
        took[way.name].append(ask(place, controller, way))
        wrong += not is_right(way, controller.code(), took[way.name][-1])
        told = f"{way.name} in `{stage}`: ended after {took[way.name][-1]:.1f} s with code {controller.code()}"
        print(f"stop {done}: {told}", flush=True)
    tally.compare(finish(place, campaign), expected)
    return {
        "wrong": wrong,
        "slowest_s": {name: round(max(times), 2) for name, times in took.items() if times},
        "identical": tally.identical,
        "duplicated_samples": tally.duplicated_samples,
        "orphan_runs": tally.orphan_runs,
        "homes": tally.homes,
    }


if __name__ == "__main__":
    main()
