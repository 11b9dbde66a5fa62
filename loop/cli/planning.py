"""Commands that weigh costs: what a campaign will spend, and which budget is best."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loop.cli.arguments import DEFAULT_HOME, FileArgument, HomeOption, LedgerOption, SetOption, again, resumable, typed
from loop.text import one_line

if TYPE_CHECKING:
    from loop.bootstrap import Home
    from loop.config import CampaignSettings
    from loop.study import Study
    from loop.tune_settings import Tune


def plan(
    file: FileArgument,
    prompts: Annotated[int | None, typer.Option("--prompts", min=1, help="Size of the pool; else it is read.")] = None,
    tokens: Annotated[
        float | None, typer.Option("--tokens", min=1, help="Length of a response, instead of measured.")
    ] = None,
    teacher_rate: Annotated[
        float | None, typer.Option("--teacher-rate", min=1e-6, help="Tokens/s of the teacher, instead of measured.")
    ] = None,
    student_rate: Annotated[
        float | None, typer.Option("--student-rate", min=1e-6, help="Tokens/s of the student, sampling.")
    ] = None,
    train_rate: Annotated[
        float | None, typer.Option("--train-rate", min=1e-6, help="Response tokens/s of the training.")
    ] = None,
    set_: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """What a campaign will cost: samples, tokens, hours and storage, and at larger scales."""
    from loop.bootstrap import make_evaluator, make_ports, open_home
    from loop.config import load_settings
    from loop.planning import Given, plan_campaign, plan_json, plan_tables
    from loop.progress import make_progress
    from loop.status import show

    settings = load_settings(file, set_ or [])
    place = open_home(home, ledger)
    planned = plan_campaign(
        settings,
        make_evaluator(place, settings),
        Given(prompts, tokens, teacher_rate, student_rate, train_rate),
        lambda: make_ports(place, settings, make_progress(sys.stderr)),
    )
    if as_json:
        print(json.dumps(plan_json(planned), allow_nan=False))
    else:
        show(plan_tables(planned))


def tune(
    file: FileArgument,
    trials: Annotated[int, typer.Option("--trials", min=1, help="In all, those of earlier runs included.")] = 20,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Trials at a time, each in a process of its own.")] = 1,
    report: Annotated[bool, typer.Option("--report", help="Run nothing; tell what is known.")] = False,
    trial: Annotated[int | None, typer.Option("--trial", min=0, help="Choose this one, not the best.")] = None,
    write: Annotated[Path | None, typer.Option("--write", metavar="FILE", help="New campaign file.")] = None,
    set_: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Try budgets by Optuna, each as a campaign of its own, and tell which are best."""
    from loop.bootstrap import open_home, open_study
    from loop.config import load_settings
    from loop.status import show
    from loop.study_report import chosen_of, report_json, report_tables, write_campaign
    from loop.tune_settings import load_tune

    settings = load_settings(file, set_ or [])
    tuning = load_tune(file, settings, set_ or [])
    place = open_home(home, ledger)
    study = open_study(place, settings, tuning)
    if not report:
        words = ["tune", str(file), f"--trials={trials}", f"--jobs={jobs}", *typed(None, set_)]
        with resumable(again(words, home, ledger)):
            _run_study(study, settings, tuning, place, trials, jobs)
    rows = study.trials()
    chosen = chosen_of(rows, trial, tuning)
    if as_json:
        print(json.dumps(report_json(rows, study.importances(), chosen), allow_nan=False))
    else:
        show(report_tables(rows, study.importances(), chosen))
    if write is not None:
        write_campaign(file, settings, chosen.params, write)
        print(f"wrote {write}: the budget of trial {chosen.number}", file=sys.stderr)


def _run_study(study: Study, settings: CampaignSettings, tuning: Tune, place: Home, trials: int, jobs: int) -> None:
    from loop.bootstrap import note_trial
    from loop.control import controlling
    from loop.progress import make_progress
    from loop.study import Ended, run_study
    from loop.tune_settings import Value

    def ended(number: int, params: dict[str, Value], found: Ended | None, reason: str) -> None:
        if settings.tracking.mlflow:
            for row in study.trials():
                if row.number == number:
                    note_trial(place, settings.name, row)
        told = reason or (f"accuracy {found.worth.accuracy:.3f}, {found.worth.tokens:,.0f} tokens" if found else "")
        line = f"trial {number}: {told}{' (pruned)' if found and found.pruned else ''}"
        print(one_line(line), file=sys.stderr, flush=True)

    with controlling(place.ledger, f"tune/{settings.name}") as control:
        progress = control.watching(make_progress(sys.stderr))
        shared = run_study(
            study, settings, tuning, place, trials=trials, jobs=jobs, control=control, progress=progress, ended=ended
        )
    print(f"shared by all trials: {shared} samples of the pool, drawn once", file=sys.stderr)
