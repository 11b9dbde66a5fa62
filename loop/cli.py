"""The command line: `deltaloop COMMAND`. Arguments come in here; what they mean is elsewhere.

    0    done
    1    failed: one line on standard error says what, with which value, and what to do
    2    wrong usage, an invalid or absent campaign file included
    130  interrupted: what is committed is kept, and the same command goes on from there

Results go to standard output, progress and errors to standard error. Each command imports what it needs when it runs:
`--help` and `status` are quick.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from store.errors import DeltaloopError
from store.records import Origin

if TYPE_CHECKING:
    from loop.bootstrap import Home
    from loop.config import CampaignSettings

CAMPAIGN_FILE = "campaign.toml"
TRACEBACK = "DELTALOOP_TRACEBACK"
"""If this environment variable is set, a failure shows where it happened."""

app = typer.Typer(
    help="Finds the prompts on which a student still differs from its teacher, makes more of them, and distils there.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

HomeOption = Annotated[Path, typer.Option("--home", metavar="DIR", help="Folder of everything that runs write.")]
LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="URL",
        envvar="DELTALOOP_LEDGER",
        help="SQL ledger: a URL or the path of an SQLite file; by default ledger.db in the home.",
    ),
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Campaign file (TOML).")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. training.steps=50. May be repeated."),
]
ColumnOption = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of this; guessed if left out.")]
ColumnsOption = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Column of these; may be repeated.")]
DEFAULT_HOME = Path("mlruns")


def main() -> None:
    """Run a command, and turn what happens into an exit code."""
    _quiet()
    try:
        app()
    except DeltaloopError as error:
        if os.environ.get(TRACEBACK):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)


@app.command()
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
    print(f"wrote {path}; run it: {_again(['run', str(path)], home, ledger)}")


@app.command()
def run(
    file: FileArgument,
    rounds: Annotated[int | None, typer.Option("--rounds", min=0, help="Override the number of rounds.")] = None,
    set_: SetOption = None,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Run a campaign, or resume it. A finished one is left as it is."""
    from loop.bootstrap import open_home
    from loop.campaign import is_finished
    from loop.config import load_settings
    from loop.status import campaign_table, find_campaign, show, summary_of

    settings = load_settings(file, [*(set_ or []), *([f"rounds={rounds}"] if rounds is not None else [])])
    place = open_home(home, ledger)
    if is_finished(place.ledger, place.blobs, settings):
        print(f"campaign `{settings.name}` is finished: nothing to do (raise `rounds` to go on)")
    else:
        with _resumable(_again(["run", str(file), *_typed(rounds, set_)], home, ledger)):
            _run_campaign(settings, place)
    row = find_campaign(place.ledger, settings.name)
    assert row is not None
    show(campaign_table(summary_of(place.ledger, place.blobs, row, place.paths.summaries)))


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Campaign; by default the newest.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, or null if there is none.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Rounds, stages, Δ and accuracy of a campaign."""
    from loop.bootstrap import holds_nothing, open_home
    from loop.status import campaign_table, campaigns_table, find_campaign, show, summary_of, unfinished

    place = None if name is None and holds_nothing(home, ledger) else open_home(home, ledger)
    row = None if place is None else find_campaign(place.ledger, name)
    if place is None or row is None:
        nothing = (
            f"no campaign in {home} yet; `deltaloop init DIR` writes a campaign file, `deltaloop run FILE` runs it"
        )
        print("null" if as_json else nothing)
        return
    summary = summary_of(place.ledger, place.blobs, row, place.paths.summaries)
    if as_json:
        print(json.dumps(summary, allow_nan=False, ensure_ascii=False))
        return
    if name is None and len(place.ledger.campaigns()) > 1:
        show(campaigns_table(place.ledger.campaigns()))
    show(campaign_table(summary))
    for line in unfinished(place.ledger.rounds(row.name)):
        print(line)


@app.command(name="import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="JSONL, CSV or Parquet file, `datasets` or image folder, or hub id.")
    ],
    pool: Annotated[str, typer.Option("--pool", metavar="NAME", help="Pool that the prompts join; made if absent.")],
    question: ColumnOption = None,
    images: ColumnsOption = None,
    answer: ColumnOption = None,
    skill: ColumnOption = None,
    attribute: ColumnsOption = None,
    max_chars: Annotated[int, typer.Option("--max-chars", min=1, help="Longest question.")] = 2000,
    split: Annotated[str | None, typer.Option("--split", help="Split of a data set; by default train.")] = None,
    subset: Annotated[str | None, typer.Option("--subset", help="Configuration of a hub data set.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Take prompts into a pool. Doing it twice adds nothing; bad rows are quarantined with their reason."""
    from loop.bootstrap import open_home, open_prompts
    from loop.intake import Columns, Source, check_pool_name, summary_lines, take_in
    from loop.progress import make_progress

    check_pool_name(pool)
    columns = Columns(question, tuple(images or ()), answer, skill, tuple(attribute or ()), max_chars)
    place = open_home(home, ledger)
    with _resumable("the same command"):
        entries, total = open_prompts(place, Source(source, columns, split, subset))
        with make_progress(sys.stderr).bar("import", total) as advance:
            taken = take_in(entries, pool, place.ledger, advance)
    if as_json:
        print(json.dumps({"source": source, "pool": pool, **vars(taken)}, ensure_ascii=False))
    else:
        print("\n".join(summary_lines(taken, source, pool)))
    if not taken.added + taken.duplicate:
        num = sum(taken.quarantined.values())
        raise DeltaloopError(f"{source} holds no usable prompt ({num} quarantined); mend it, or name its columns")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="Campaign.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Campaign that is compared with it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Two campaigns, paired by question, with intervals; what each spent, and where their settings differ."""
    from loop.bootstrap import open_home
    from loop.comparison import as_json as json_of
    from loop.comparison import compare as compare_campaigns
    from loop.comparison import comparison_tables
    from loop.status import find_campaign, show

    place = open_home(home, ledger)
    for name in (first, second):
        find_campaign(place.ledger, name)
    found = compare_campaigns(place.ledger, place.blobs, first, second)
    if as_json:
        print(json.dumps(json_of(found), allow_nan=False, ensure_ascii=False))
    else:
        show(comparison_tables(found))


@app.command()
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
    with _resumable(_again(["score", str(file), *_typed(None, set_)], home, ledger)):
        ports, base_student, teacher = make_ports(open_home(home, ledger), settings, make_progress(sys.stderr))
        report = measure(settings, ports, base_student, teacher)
    for line in summary_lines(report):
        print(line)
    show(skills_table(report))


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Campaign; by default the whole home.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="First rebuild what can be derived.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Recompute every digest, and print the fingerprint of the facts."""
    from loop.bootstrap import open_home
    from loop.status import find_campaign
    from store.verify import verify as verify_facts

    place = open_home(home, ledger)
    if name is not None:
        find_campaign(place.ledger, name)
    if repair:
        from loop.repair import repair as rebuild

        for line in rebuild(place.ledger, place.blobs, place.paths.index):
            print(f"repair: {line}")
    found = verify_facts(place.ledger, place.blobs, place.checkpoints, place.paths.index, campaign=name)
    for problem in found.problems:
        print(problem)
    for digest in found.orphans:
        print(f"orphan: blob {digest} (no row names it, which does no harm: a stage was interrupted, or dropped it)")
    print(f"fingerprint: {found.fingerprint}")
    if found.problems:
        raise DeltaloopError(
            f"{len(found.problems)} problem(s) in {home}, listed above; restore what they name from a backup"
        )


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New archive (tar).")],
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Write ledger, blobs, checkpoints and index into one archive, also while campaigns run."""
    from loop.bootstrap import open_home
    from store.backup import back_up

    place = open_home(home, ledger)
    made = back_up(place.ledger, place.blobs, place.checkpoints, place.paths.index, file)
    print(f"wrote {file}: {made.blobs} blobs, {made.checkpoints} checkpoints\nfingerprint: {made.fingerprint}")
    for problem in made.problems:
        print(problem)
    if made.problems:
        raise DeltaloopError(f"{len(made.problems)} file(s) of {home} are damaged and not in {file}, listed above")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Archive that `deltaloop backup` wrote.")],
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Unpack an archive into a new home, after checking every digest in it."""
    from store.backup import restore as restore_home

    found = restore_home(file, home, ledger)
    print(f"restored {home}: {found.blobs} blobs, {found.checkpoints} checkpoints\nfingerprint: {found.fingerprint}")
    for problem in found.problems:
        print(f"not in the archive: {problem}")


@app.command()
def student(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Campaign.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the model.")],
    round_: Annotated[int | None, typer.Option("--round", min=1, help="Take this round's candidate instead.")] = None,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Write the promoted student as a folder that `from_pretrained` loads, with a model card."""
    from loop.bootstrap import open_home
    from loop.export_student import export_student
    from loop.status import find_campaign

    place = open_home(home, ledger)
    find_campaign(place.ledger, name)
    lineage = export_student(place.ledger, place.blobs, place.checkpoints, name, folder, round=round_)
    print(f"wrote {folder}: the student of round {lineage.version.round}, version {lineage.version.id}")


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Campaign.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the data set.")],
    round_: Annotated[int | None, typer.Option("--round", min=1, help="By default the last that scored.")] = None,
    min_delta: Annotated[float | None, typer.Option("--min-delta", help="Smallest Δ, in nats.")] = None,
    max_delta: Annotated[float | None, typer.Option("--max-delta", help="Largest Δ, in nats.")] = None,
    min_consistency: Annotated[float | None, typer.Option("--min-consistency", help="Of the teacher.")] = None,
    origin: Annotated[list[Origin] | None, typer.Option("--origin", help="How prompts came to be; repeatable.")] = None,
    skill: Annotated[list[str] | None, typer.Option("--skill", help="Skill of prompts; repeatable.")] = None,
    non_zero: Annotated[bool, typer.Option("--non-zero", help="Only prompts on which answers differ.")] = False,
    measured: Annotated[bool, typer.Option("--measured", help="Only prompts whose Δ is not predicted.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Write prompts with their Δ as Parquet, which `datasets` loads and `import` reads."""
    from loop.bootstrap import open_home, prompt_writer
    from loop.export_prompts import Filters, choose, export_prompts
    from loop.status import find_campaign

    place = open_home(home, ledger)
    find_campaign(place.ledger, name)
    filters = Filters(
        min_delta, max_delta, min_consistency, tuple(origin or ()), tuple(skill or ()), non_zero, measured
    )
    chosen = choose(place.ledger, place.blobs, name, round_, filters)
    export_prompts(place.ledger, place.blobs, chosen, folder, prompt_writer())
    print(f"wrote {folder}: {len(chosen.entries)} of {chosen.scored} prompts of round {chosen.round.index}")


@app.command()
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
        print(json.dumps(report_json(version, target.campaign, reports), allow_nan=False, ensure_ascii=False))
    else:
        show(report_table(reports))


@app.command()
def doctor(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Campaign file to check for.")] = None,
    set_: SetOption = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask each server a few questions, to see that pictures reach its model.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """What this machine has, what a campaign file needs, and what is missing."""
    from loop.config import load_settings
    from loop.doctor import examine
    from loop.findings import findings_table
    from loop.status import show

    findings = examine(load_settings(file, set_ or []) if file is not None else None, home, ledger, probe=probe)
    show(findings_table(findings))
    missing = [finding for finding in findings if finding.missing]
    if missing:
        raise DeltaloopError("; ".join(f"{finding.what} is missing: {finding.remedy}" for finding in missing))


def _run_campaign(settings: CampaignSettings, place: Home) -> None:
    from dataclasses import replace

    from loop.bootstrap import make_ports
    from loop.campaign import run_campaign
    from loop.lease import holding
    from loop.progress import make_progress
    from loop.status import RoundLines

    with holding(place.ledger, settings.name):
        ports, base_student, teacher = make_ports(place, settings, make_progress(sys.stderr))
        tracker = RoundLines(ports.tracker, place.ledger, place.blobs, lambda line: print(line, flush=True))
        run_campaign(settings, replace(ports, tracker=tracker), base_student, teacher)


@contextmanager
def _resumable(again: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:  # which Typer turns into exit code 130
        print(f"interrupted: what is committed is kept; go on with: {again}", file=sys.stderr)
        raise


def _typed(rounds: int | None, overrides: list[str] | None) -> list[str]:
    typed = [word for override in overrides or [] for word in ("--set", override)]
    return typed + ([f"--rounds={rounds}"] if rounds is not None else [])


def _again(words: list[str], home: Path, ledger: str | None) -> str:
    """The command line that does something in this home. A ledger URL may hold a password, and is not repeated."""
    options = [] if home == DEFAULT_HOME else ["--home", str(home)]
    if ledger is not None and not os.environ.get("DELTALOOP_LEDGER"):
        options += ["--ledger", "URL"]
    return shlex.join(["deltaloop", *words, *options])


def _quiet() -> None:
    """Settings that must be made before torch and MLflow load; whoever set them otherwise keeps them."""
    for name, value in {
        # Two processes with torch threads that spin while they wait slow each other ten- to a hundredfold.
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s: %(message)s")
    for name in ("loop", "store", "policies"):
        logging.getLogger(name).setLevel(logging.WARNING)
