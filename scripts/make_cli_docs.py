"""Writes docs/cli.md from the commands themselves; `--check` only tells whether it is up to date.

python -m scripts.make_cli_docs [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from scripts.generated_page import write_or_check

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"


def reference() -> str:
    """Every command with its arguments and options, as Markdown, by Typer's own generator."""
    from loop.cli import app

    command = typer.main.get_command(app)
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="deltaloop")
    return f"<!-- Generated: python -m scripts.make_cli_docs -->\n\n{page.strip()}\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, reference(), "make_cli_docs"))
