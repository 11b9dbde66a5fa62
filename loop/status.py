"""What a campaign has come to, for people: one line a round while it runs, tables afterwards.

Everything here is made of the object that `status --json` prints (`loop.summary`); what is not known yet is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from loop.kept_rounds import KeptRounds
from loop.ports import Blobs, Ledger, Tracker
from loop.progress import WorkDone
from loop.summary import campaign_json, reader
from loop.text import clean_lines, one_line
from loop.work_done import read_work_done
from store.errors import DeltaloopError
from store.records import CampaignRow, Order, RoundRow, Status

if TYPE_CHECKING:
    from loop.bootstrap import Home

DASH = "-"


def find_campaign(ledger: Ledger, name: str | None) -> CampaignRow | None:
    """The named campaign, or the newest; None if none is named and there is none. DeltaloopError for a wrong name."""
    rows = ledger.campaigns()
    if name is None:
        return rows[-1] if rows else None
    for row in rows:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in rows) or "none yet"
    raise DeltaloopError(f"there is no campaign `{name}` here; there is: {known} (another home? --home DIR)")


def status_of(home: Home, campaign: CampaignRow) -> dict[str, Any]:
    """The object that `status --json` prints: the summary, and how far running work has come."""
    work = read_work_done(home.paths.progress(campaign.name))
    told = summary_of(home.ledger, home.blobs, campaign, home.paths.summaries)
    return told | {"work": None if work is None else asdict(work)}


def summary_of(ledger: Ledger, blobs: Blobs, campaign: CampaignRow, kept: Path | None = None) -> dict[str, Any]:
    """What the ledger says of a campaign; with a folder `kept`, of completed rounds it is kept there."""
    read = reader(blobs)
    of_round = None if kept is None else KeptRounds(kept, read)
    told = campaign_json(campaign, ledger.rounds(campaign.name), read, of_round)
    return told | {"order": str(ledger.find_order(campaign.name))}


def campaign_table(summary: Mapping[str, Any]) -> RenderableType:
    """What happened round by round, and how accurate teacher, base student and candidates are."""
    return Group(_rounds_table(summary), _accuracy_table(summary))


def unfinished(rounds: Sequence[RoundRow]) -> list[str]:
    """A line for each stage that is not completed, with its error."""
    return [
        f"round {row.index}, stage {stage.name}: {stage.status}" + (f": {one_line(stage.error)}" if stage.error else "")
        for row in rounds
        for stage in row.stages
        if stage.status is not Status.COMPLETED
    ]


def order_lines(summary: Mapping[str, Any]) -> list[str]:
    """A line, if an operator has asked for anything but to run."""
    name = summary["campaign"]
    return {
        Order.RUN: [],
        Order.PAUSE: [f"paused by an operator; go on with: deltaloop resume {name}"],
        Order.STOP: ["stopped by an operator; the next run goes on"],
    }[Order(summary["order"])]


def work_lines(summary: Mapping[str, Any]) -> list[str]:
    """A line for work that is running."""
    return [] if summary["work"] is None else [WorkDone(**summary["work"]).line()]


def campaigns_table(campaigns: Sequence[CampaignRow]) -> Table:
    """All campaigns of a home, oldest first."""
    table = table_of("campaigns")
    for heading in ("name", "status", "pool", "seed", "created (UTC)"):
        table.add_column(heading)
    for row in campaigns:
        table.add_row(row.name, str(row.status), row.pool, str(row.seed), row.created[:19])
    return table


def suites_of(summary: Mapping[str, Any]) -> list[str]:
    """The names under which accuracies are known, `mean` last."""
    reports = [*summary["baseline"]["eval"].values(), *(row["eval"]["student"] for row in summary["rounds"])]
    names = dict.fromkeys(name for report in reports for name in report)
    return [name for name in names if name != "mean"] + (["mean"] if "mean" in names else [])


def round_line(row: Mapping[str, Any], before: float | None) -> str:
    """One round in one line; `before` is the mean accuracy of the student that it started from."""
    yields = row["synthesis"]["yield"]
    verdict = {True: "promoted", False: "kept the old student", None: row["status"]}[row["promoted"]]
    return (
        f"round {row['index']}: Δ mean {number(row['delta']['mean'])} over {row['delta']['prompts'] or 0} prompts,"
        f" zero-delta {share(row['delta']['zero_share'])};"
        f" yield seed-guided {share(yields['seed_guided'])}, skill-guided {share(yields['skill_guided'])},"
        f" admitted {row['synthesis']['admitted'] or 0} of {row['synthesis']['proposed'] or 0};"
        f" trained {row['train']['steps'] or 0} steps on {row['train']['prompts'] or 0} prompts{_worth(row['trust'])}"
        f"{_ended(row['train'])};"
        f" accuracy {share(before)} -> {share(row['eval']['student'].get('mean'))}; {verdict} ({row['seconds']:.0f} s)"
    )


def _ended(train: Mapping[str, Any]) -> str:
    """Why a training ended before its last step, if it did."""
    return f", ended early: {train['alarm']}" if train.get("alarm") else ""


def _worth(trust: Mapping[str, Any]) -> str:
    """The training set's Δ by samples that did not choose it, beside that by those that did."""
    fresh = trust["training"]
    if fresh is None:
        return ""
    interval = f"{number(fresh['delta'])} [{number(fresh['low'])}, {number(fresh['high'])}]"
    return f" with Δ {interval} by fresh samples ({number(trust['selection_biased'])} by those that selected)"


def accuracy_before(summary: Mapping[str, Any], index: int) -> float | None:
    """Mean accuracy of the student that round `index` started from: the last promoted one, or the baseline."""
    mean = summary["baseline"]["eval"]["student"].get("mean")
    for row in summary["rounds"]:
        if row["index"] < index and row["promoted"]:
            mean = row["eval"]["student"].get("mean")
    return mean


class RoundLines:
    """A tracker that tells each round in a line as it ends, and passes everything on to another tracker."""

    def __init__(self, inner: Tracker, ledger: Ledger, blobs: Blobs, tell: Callable[[str], None]) -> None:
        self._inner = inner
        self._ledger = ledger
        self._blobs = blobs
        self._tell = tell

    def round_started(self, campaign: str, round: int, settings: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Pass on."""
        self._inner.round_started(campaign, round, settings, tags)

    def stage_ended(self, campaign: str, round: int, stage: str, output: object, seconds: float) -> None:
        """Pass on."""
        self._inner.stage_ended(campaign, round, stage, output, seconds)

    def round_ended(self, campaign: str, round: int, status: str) -> None:
        """Tell a completed round."""
        self._inner.round_ended(campaign, round, status)
        row = self._ledger.find_campaign(campaign)
        if status != Status.COMPLETED or row is None:
            return
        summary = summary_of(self._ledger, self._blobs, row)
        if round == 0:
            means = {role: summary["baseline"]["eval"][role].get("mean") for role in ("teacher", "student")}
            self._tell(f"baseline: accuracy teacher {share(means['teacher'])}, student {share(means['student'])}")
            return
        told = next(entry for entry in summary["rounds"] if entry["index"] == round)
        self._tell(round_line(told, accuracy_before(summary, round)))

    def campaign_ended(self, campaign: str, status: str) -> None:
        """Pass on."""
        self._inner.campaign_ended(campaign, status)


class PlainConsole(Console):
    """Shows text as text: no control character, no markup, no emoji by name."""

    def __init__(self, file: IO[str] | None = None, width: int | None = None) -> None:
        super().__init__(file=file, width=width, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every cell, heading and title that is a string comes by here."""
        return super().render_str(clean_lines(text), **options)


def show(renderable: RenderableType) -> None:
    """Print to standard output: as wide as the terminal, and wide enough for a row where there is none."""
    console = PlainConsole()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    console.print(renderable)


def share(value: float | None) -> str:
    """A share in per cent."""
    return DASH if value is None else f"{100 * value:.1f} %"


def number(value: float | None) -> str:
    """A number with three decimals."""
    return DASH if value is None else f"{value:.3f}"


def _rounds_table(summary: Mapping[str, Any]) -> Table:
    table = table_of(f"campaign {summary['campaign']}: {summary['status']}")
    table.add_column("round", justify="right")
    table.add_column("status")
    for heading in ("seconds", "Δ mean", "zero-\ndelta", "yield,\nseed", "yield,\nskill", "trained\non"):
        table.add_column(heading, justify="right")
    for row in summary["rounds"]:
        yields, trained = row["synthesis"]["yield"], row["train"]["prompts"]
        table.add_row(
            str(row["index"]),
            row["status"],
            f"{row['seconds']:.0f}",
            number(row["delta"]["mean"]),
            share(row["delta"]["zero_share"]),
            share(yields["seed_guided"]),
            share(yields["skill_guided"]),
            DASH if trained is None else str(trained),
        )
    return table


def _accuracy_table(summary: Mapping[str, Any]) -> Table:
    table = table_of("accuracy on the held-out suites")
    table.add_column("version")
    suites = suites_of(summary)
    for suite in suites:
        table.add_column(suite, justify="right")
    table.add_column("promoted")
    for role in ("teacher", "student"):
        accuracies = summary["baseline"]["eval"][role]
        table.add_row(role, *(share(accuracies.get(suite)) for suite in suites), "")
    for row in summary["rounds"]:
        accuracies = row["eval"]["student"]
        shares = (share(accuracies.get(suite)) for suite in suites)
        table.add_row(f"round {row['index']}", *shares, _yes(row["promoted"]))
    return table


def table_of(title: str) -> Table:
    """An empty table in the program's style."""
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _yes(promoted: bool | None) -> str:
    return {True: "yes", False: "no", None: DASH}[promoted]
