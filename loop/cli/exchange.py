"""Commands that take prompts in, and give prompts and students out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from loop.cli.arguments import DEFAULT_HOME, ColumnOption, ColumnsOption, HomeOption, LedgerOption, resumable
from loop.text import one_line
from store.errors import DeltaloopError
from store.records import Origin


def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="JSONL, JSON, CSV, Parquet; `datasets` or image folder; or hub id.")
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
    with resumable("the same command"):
        entries, total = open_prompts(place, Source(source, columns, split, subset))
        with make_progress(sys.stderr).bar("import", total) as advance:
            taken = take_in(entries, pool, place.ledger, advance)
    if as_json:
        print(json.dumps({"source": source, "pool": pool, **vars(taken)}))
    else:
        print("\n".join(map(one_line, summary_lines(taken, source, pool))))
    if not taken.added + taken.duplicate:
        num = sum(taken.quarantined.values())
        raise DeltaloopError(f"{source} holds no usable prompt ({num} quarantined); mend it, or name its columns")


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


def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Campaign.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="HTML file to write; one that is there is replaced.")],
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Write one self-contained HTML page of a campaign: the figures of the dashboard, for sending around."""
    from loop.bootstrap import open_home
    from loop.dashboard.report import report_html
    from loop.status import find_campaign
    from store.files import write_whole

    place = open_home(home, ledger)
    row = find_campaign(place.ledger, name)
    assert row is not None  # a wrong name is refused, and one is given
    text = report_html(place, row)
    try:
        write_whole(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise DeltaloopError(f"{file}: {error.strerror}; name a file in a folder that can be written to") from None
    print(f"wrote {file}: campaign `{name}`")
