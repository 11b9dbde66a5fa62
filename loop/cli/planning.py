"""Commands that weigh costs: what a campaign will spend, and which budget is best."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from loop.cli.arguments import DEFAULT_HOME, FileArgument, HomeOption, LedgerOption, SetOption


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
        print(json.dumps(plan_json(planned), allow_nan=False, ensure_ascii=False))
    else:
        show(plan_tables(planned))
