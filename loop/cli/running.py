"""Commands that work: a campaign's rounds, a Δ report, an evaluation."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
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
from loop.logs import Format
from store.errors import DeltaloopError, LimitReached

if TYPE_CHECKING:
    from loop.bootstrap import Home
    from loop.config import CampaignSettings
    from loop.tune_settings import Tune

CAMPAIGN_FILE = "campaign.toml"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the campaign file; made if absent.")],
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Write a commented campaign file that runs as it is."""
    from loop.campaign_file import campaign_name, template

    path = folder / CAMPAIGN_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(template(campaign_name(folder.resolve().name)))
    except FileExistsError:
        raise DeltaloopError(f"{path} is there already; edit it, or name another folder") from None
    except OSError as error:
        raise DeltaloopError(f"{path} cannot be written: {error.strerror}; name another folder") from None
    print(f"wrote {path}; run it: {again(['run', str(path)], home, ledger)}")


def run(
    file: FileArgument,
    rounds: Annotated[int | None, typer.Option("--rounds", min=0, help="Override the number of rounds.")] = None,
    set_: SetOption = None,
    log: LogOption = Format.PLAIN,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Run a campaign, or resume it. A finished one is left as it is."""
    from loop.bootstrap import open_home
    from loop.campaign import is_finished
    from loop.config import load_settings
    from loop.status import campaign_table, find_campaign, show, summary_of
    from loop.tune_settings import load_tune

    settings = load_settings(file, [*(set_ or []), *([f"rounds={rounds}"] if rounds is not None else [])])
    place = open_home(home, ledger)
    if is_finished(place.ledger, place.blobs, settings):
        print(f"campaign `{settings.name}` is finished: nothing to do (raise `rounds` to go on)")
    else:
        with resumable(again(["run", str(file), *typed(rounds, set_)], home, ledger)):
            _run_campaign(settings, place, log, load_tune(file, settings, set_ or []))
    row = find_campaign(place.ledger, settings.name)
    assert row is not None
    show(campaign_table(summary_of(place.ledger, place.blobs, row, place.paths.summaries)))


def score(
    file: FileArgument, set_: SetOption = None, home: HomeOption = DEFAULT_HOME, ledger: LedgerOption = None
) -> None:
    """Δ report of a pool, without training. Its samples are kept: a later run does not draw them again."""
    from loop.bootstrap import make_ports, open_home
    from loop.config import load_settings
    from loop.delta_report import measure, skills_table, summary_lines
    from loop.progress import make_progress
    from loop.status import show

    settings = load_settings(file, set_ or [])
    with resumable(again(["score", str(file), *typed(None, set_)], home, ledger)):
        ports, base_student, teacher = make_ports(open_home(home, ledger), settings, make_progress(sys.stderr))
        report = measure(settings, ports, base_student, teacher)
    for line in summary_lines(report):
        print(line)
    show(skills_table(report))


def evaluate(
    name: Annotated[str, typer.Argument(metavar="NAME|MODEL", help="Campaign; or a folder, hub name or embedded:….")],
    round_: Annotated[int | None, typer.Option("--round", min=1, help="Take this round's candidate instead.")] = None,
    harness: Annotated[str | None, typer.Option("--harness", help="lmms-eval, instead of our own suites.")] = None,
    tasks: Annotated[str, typer.Option("--tasks", metavar="NAME,NAME", help="Tasks of the harness.")] = "",
    task_files: Annotated[Path | None, typer.Option("--task-files", metavar="DIR", help="Own task files.")] = None,
    questions: Annotated[int | None, typer.Option("--questions", min=1, help="Per suite, at most; else all.")] = None,
    set_: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Score a campaign's student, or any model, on held-out suites or by the field's own harness."""
    from loop.bootstrap import base_student, make_evaluator, note_evaluation, open_home
    from loop.progress import make_progress
    from loop.status import show
    from loop.version_report import Wanted, evaluate_target, find_target, report_json, report_table

    named = tuple(task.strip() for task in tasks.split(",") if task.strip())
    wanted = Wanted(harness, named, task_files, questions, tuple(set_ or ()))
    place = open_home(home, ledger)
    target = find_target(place.ledger, place.blobs, name, round_, wanted)
    version = target.version or base_student(place, target.settings)
    reports = evaluate_target(
        target,
        version,
        make_evaluator(place, target.settings),
        place.ledger,
        make_progress(sys.stderr),
        whole=questions is None,
    )
    if target.settings.tracking.mlflow:
        note_evaluation(place, version, reports, target.campaign)
    if as_json:
        print(json.dumps(report_json(version, target.campaign, reports), allow_nan=False))
    else:
        show(report_table(reports))


def _run_campaign(settings: CampaignSettings, place: Home, log: Format, tune: Tune) -> None:
    from dataclasses import replace

    from loop.bootstrap import check_teacher, make_ports, online_budgets
    from loop.campaign import run_campaign
    from loop.control import controlling
    from loop.status import RoundLines

    check_teacher(settings)
    begin_log(settings, place, log, console=logging.WARNING)
    with controlling(place.ledger, settings.name) as control:
        progress = control.watching(progress_of(log, place.paths.progress(settings.name)))
        ports, base_student, teacher = make_ports(place, settings, progress)
        tracker = RoundLines(ports.tracker, place.ledger, place.blobs, lambda line: print(line, flush=True))
        try:
            budget = online_budgets(place, settings, tune)
            ports = replace(ports, tracker=tracker, look=control.look, budget=budget)
            run_campaign(settings, ports, base_student, teacher)
        except LimitReached as reached:
            print(f"campaign `{settings.name}` has ended: {reached}")
