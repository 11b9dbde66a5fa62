"""What a study found: its trials, those that none dominates, what mattered, and a campaign file of the chosen one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from rich.console import Group, RenderableType

from loop.config import CampaignSettings
from loop.status import DASH, share, table_of
from loop.tune_settings import Tune, Value, file_keys
from loop.tuning import Tried
from policies.tuning import Worth, choose, front
from store.errors import DeltaloopError, UsageError


def chosen_of(trials: Sequence[Tried], number: int | None, tune: Tune) -> Tried:
    """The trial with this number; else the best ratio, or the cheapest within an error of the best accuracy.

    UsageError if there is no such trial that is complete.
    """
    done = [row for row in trials if row.state == "complete" and row.worth is not None]
    if number is not None:
        for row in done:
            if row.number == number:
                return row
        known = ", ".join(str(row.number) for row in done) or "none yet"
        raise UsageError(f"--trial {number}: no completed trial has this number; there are: {known}")
    if not done:
        raise DeltaloopError("no trial is complete yet; run `deltaloop tune` first, without --report")
    worths = [row.worth for row in done if row.worth is not None]
    if tune.objective == "ratio":
        return max(zip(done, worths, strict=True), key=lambda pair: pair[1].ratio)[0]
    return done[choose(worths)]


def report_json(trials: Sequence[Tried], importances: Mapping[str, float], chosen: Tried) -> dict[str, Any]:
    """The object that `tune --report --json` prints."""
    best = _front(trials)
    return {
        "trials": [
            {
                "number": row.number,
                "state": row.state,
                "params": dict(row.params),
                "worth": None if row.worth is None else vars(row.worth) | {"ratio": row.worth.ratio},
                "reason": row.reason,
                "on_front": row.number in best,
            }
            for row in trials
        ],
        "importances": dict(importances),
        "chosen": chosen.number,
    }


def report_tables(trials: Sequence[Tried], importances: Mapping[str, float], chosen: Tried) -> RenderableType:
    """Trials with the front marked, importances, and the chosen budget beside the file's own (trial 0)."""
    best = _front(trials)
    table = table_of("trials (* none is as accurate and as cheap)")
    for heading in ("trial", "state", "accuracy", "± error", "tokens", "gain per\nM tokens", "seeds", "front"):
        table.add_column(heading, justify="right")
    for row in trials:
        table.add_row(str(row.number), row.state, *_cells(row.worth), "*" if row.number in best else "")
    weights = table_of("importances (share of the variance explained; noise counts too)")
    weights.add_column("key")
    weights.add_column("share", justify="right")
    for key, part in importances.items():
        weights.add_row(key, share(part))
    budget = table_of(f"trial {chosen.number} is chosen")
    for heading in ("key", "chosen", "the file's own (trial 0)"):
        budget.add_column(heading)
    own = next((row.params for row in trials if row.number == 0), {})
    for key, value in chosen.params.items():
        budget.add_row(key, _told(value), _told(own.get(key, DASH)))
    return Group(table, weights if importances else "importances: too few different trials to tell", budget)


def write_campaign(file: Path, settings: CampaignSettings, params: Mapping[str, Value], target: Path) -> None:
    """Write the campaign file with these params, its comments kept, and its paths absolute; `name` gets `-tuned`.

    DeltaloopError if there is such a file already.
    """
    document: Any = tomlkit.parse(file.read_text(encoding="utf-8"))
    document.pop("tune", None)
    document["name"] = f"{settings.name[:58]}-tuned"
    _set_paths(document, settings.model_dump(mode="json"))
    for key, value in file_keys(settings, params).items():
        table, _, name = key.partition(".")
        document.setdefault(table, tomlkit.table())[name] = value
    try:
        with target.open("x", encoding="utf-8") as stream:
            stream.write(tomlkit.dumps(document))
    except FileExistsError:
        raise DeltaloopError(f"{target} is there already; name another file") from None
    except OSError as error:
        raise DeltaloopError(f"{target} cannot be written: {error.strerror}; name another file") from None


def _set_paths(written: Any, read: Mapping[str, Any]) -> None:
    """Replace texts that loading changed: these are the relative paths."""
    for key, value in list(written.items()):
        if isinstance(value, dict):
            _set_paths(value, read.get(key, {}))
        elif isinstance(value, str) and isinstance(read.get(key), str) and read[key] != value and key != "name":
            written[key] = read[key]


def _cells(worth: Worth | None) -> tuple[str, ...]:
    if worth is None:
        return (DASH,) * 5
    accuracy = (share(worth.accuracy), share(worth.error))
    return (*accuracy, f"{worth.tokens:,.0f}", f"{worth.ratio:.3f}", str(worth.seeds))


def _front(trials: Sequence[Tried]) -> set[int]:
    done = [(row.number, row.worth) for row in trials if row.state == "complete" and row.worth is not None]
    return {done[place][0] for place in front([worth for _, worth in done])}


def _told(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
