"""Which code ran: the commit of the working tree, its branch, and whether it had been changed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Provenance:
    """`unknown` and clean where the package does not run from a git checkout."""

    commit: str
    dirty: bool
    branch: str = ""
    """Empty where no branch is checked out."""


def provenance() -> Provenance:
    """Ask git about the folder that this package is in."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Provenance(commit or "unknown", bool(changes), _git(folder, "branch", "--show-current"))


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
