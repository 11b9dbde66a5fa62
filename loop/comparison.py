"""Two campaigns side by side: is the one's kept student better, what did each spend, where did their settings part.

ledger -> the kept student's last report of each -> questions that both answered -> paired differences -> intervals
       -> spend of all rounds                    -> settings of each round       -> keys that differ
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType

from loop.ports import Blobs, Ledger
from loop.status import share, table_of
from loop.summary import outputs_of, reader, spent_of
from policies.promotion import paired_interval
from store.errors import DeltaloopError
from store.records import Report, RoundRow, Spent, SuiteReport

LEVEL = 0.9
SEED = 0
"""Of the bootstrap: two calls on the same facts print the same interval."""

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]

NAMES = frozenset({"name", "pool.name"})
"""Keys in which two campaigns differ by being two."""


@dataclass(frozen=True)
class Gap:
    """Accuracy of both kept students on the questions that both answered."""

    suite: str
    """`mean`: the unweighted mean of the main suites."""
    questions: int
    first: float
    second: float
    difference: float
    """second - first, with its 90 % interval (bootstrap over pairs of questions)."""
    low: float
    high: float


@dataclass(frozen=True)
class Parting:
    """A setting in which the campaigns differ, and the rounds that ran so."""

    key: str
    first: Any
    second: Any
    rounds: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """What `deltaloop compare --json` prints."""

    first: str
    second: str
    accuracy: tuple[Gap, ...]
    spent: tuple[Spent, Spent]
    settings: tuple[Parting, ...]


def compare(ledger: Ledger, blobs: Blobs, first: str, second: str) -> Comparison:
    """Compare two campaigns of a home. DeltaloopError if one has no evaluation yet, or they share no question."""
    read = reader(blobs)
    ours, theirs = (ledger.rounds(name) for name in (first, second))
    done, others = ([outputs_of(row, read) for row in rows] for rows in (ours, theirs))
    gaps = _gaps(_kept(first, done), _kept(second, others))
    spent = (Spent.total(map(spent_of, done)), Spent.total(map(spent_of, others)))
    return Comparison(first, second, gaps, spent, _partings(ours, theirs))


def as_json(found: Comparison) -> dict[str, Any]:
    """The object that `--json` prints; accuracies and spends by campaign are named `first` and `second`."""
    data = asdict(found)
    return data | {"spent": dict(zip(("first", "second"), data["spent"], strict=True))}


def comparison_tables(found: Comparison) -> RenderableType:
    """Accuracy, spend and settings."""
    accuracy = table_of(f"accuracy of the kept students, {found.second} - {found.first}")
    for heading in ("suite", "questions", found.first, found.second, "difference", f"{LEVEL:.0%} interval"):
        accuracy.add_column(heading)
    for gap in found.accuracy:
        interval = f"[{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
        cells = (str(gap.questions), share(gap.first), share(gap.second), f"{100 * gap.difference:+.1f}", interval)
        accuracy.add_row(gap.suite, *cells)
    spent = table_of("spent in all rounds")
    for heading in ("", found.first, found.second):
        spent.add_column(heading)
    for name, value in asdict(found.spent[0]).items():
        spent.add_row(name.replace("_", " "), str(value), str(getattr(found.spent[1], name)))
    settings = table_of("settings that differ")
    for heading in ("key", found.first, found.second, "rounds"):
        settings.add_column(heading)
    for parting in found.settings:
        rounds = ", ".join(map(str, parting.rounds))
        settings.add_row(parting.key, str(parting.first), str(parting.second), rounds)
    return Group(accuracy, spent, settings)


def _kept(name: str, rounds: Sequence[Mapping[str, Any]]) -> Report:
    """The last evaluation of the student that a campaign holds on to, by its rounds' outputs."""
    report: Report | None = None
    for outputs in rounds:
        report = outputs.get("baseline_student", report)
        verdict = outputs.get("judge")
        if verdict is not None and verdict.promoted:
            report = outputs["evaluate"]
    if report is None:
        raise DeltaloopError(f"campaign `{name}` has evaluated no student yet; run it until its baseline is there")
    return report


def _gaps(first: Report, second: Report) -> tuple[Gap, ...]:
    pairs = {
        one.suite: _paired(one, other)
        for one in first.suites
        for other in second.suites
        if one.suite == other.suite and one.metric == other.metric
    }
    pairs = {suite: pair for suite, pair in pairs.items() if len(pair[0])}
    main = [suite for suite in first.mean_over if suite in pairs and suite in second.mean_over]
    if not main:
        raise DeltaloopError(
            "the campaigns answered no common question of a main suite; give both the same [evaluation] section"
        )
    gaps = [_gap(suite, [pair]) for suite, pair in pairs.items()]
    return (*gaps, _gap("mean", [pairs[suite] for suite in main]))


def _paired(first: SuiteReport, second: SuiteReport) -> Pair:
    """Both students' scores on the common questions, in one order."""
    theirs = dict(zip(second.prompt_ids, second.values, strict=True))
    common = [(value, theirs[id]) for id, value in zip(first.prompt_ids, first.values, strict=True) if id in theirs]
    scores = np.array(common, dtype=np.float64).reshape(-1, 2)
    return scores[:, 0], scores[:, 1]


def _gap(suite: str, pairs: Sequence[Pair]) -> Gap:
    firsts, seconds = zip(*pairs, strict=True)
    difference, low, high = paired_interval(seconds, firsts, level=LEVEL, rng=np.random.default_rng(SEED))
    means = [float(np.mean([side.mean() for side in sides])) for sides in (firsts, seconds)]
    return Gap(suite, sum(map(len, firsts)), means[0], means[1], difference, low, high)


def _partings(first: Sequence[RoundRow], second: Sequence[RoundRow]) -> tuple[Parting, ...]:
    """Of the rounds that both have, the keys whose values differ; equal differences of several rounds in one row."""
    found: dict[tuple[str, str, str], list[int]] = {}
    theirs = {row.index: row for row in second}
    for row in first:
        if row.index in theirs:
            ours, others = (dict(_flat(json.loads(own.settings))) for own in (row, theirs[row.index]))
            for key in sorted(ours.keys() | others.keys()):
                values = ours.get(key), others.get(key)
                if values[0] != values[1] and key not in NAMES:
                    found.setdefault((key, json.dumps(values[0]), json.dumps(values[1])), []).append(row.index)
    return tuple(
        Parting(key, json.loads(one), json.loads(other), tuple(rounds)) for (key, one, other), rounds in found.items()
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
