"""Commands on the facts as a whole: are they sound, and a copy of them elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from loop.cli.arguments import DEFAULT_HOME, HomeOption, LedgerOption
from loop.text import one_line
from store.errors import DeltaloopError


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
            print(one_line(f"repair: {line}"))
    found = verify_facts(place.ledger, place.blobs, place.checkpoints, place.paths.index, campaign=name)
    for problem in found.problems:
        print(one_line(problem))
    if found.orphans:
        print(
            f"{len(found.orphans)} blobs that no row names, which do no harm: pictures of held-out questions, and what"
            " interrupted stages left; `deltaloop gc --dry-run` lists those older than a week"
        )
    print(f"fingerprint: {found.fingerprint}")
    if found.problems:
        raise DeltaloopError(
            f"{len(found.problems)} problem(s) in {home}, listed above; restore what they name from a backup"
        )


def gc(
    days: Annotated[float, typer.Option("--days", min=0, help="Keep whatever changed in so many days.")] = 7.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
) -> None:
    """Remove what no row of the ledger names and nobody resumes from."""
    from loop.bootstrap import open_home
    from store.garbage import collect

    place = open_home(home, ledger)
    found = collect(
        place.ledger, place.blobs, place.checkpoints, place.paths.home, older_than_s=days * 86_400, dry_run=dry_run
    )
    for one in found:
        print(one_line(f"{one.path}: {one.what}, {one.num_bytes} bytes"))
    print(
        f"{'would remove' if dry_run else 'removed'} {len(found)} file(s) or folder(s),"
        f" {sum(one.num_bytes for one in found) / 1e6:.1f} MB"
    )


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
        print(one_line(problem))
    if made.problems:
        raise DeltaloopError(f"{len(made.problems)} file(s) of {home} are damaged and not in {file}, listed above")


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
        print(one_line(f"not in the archive: {problem}"))
