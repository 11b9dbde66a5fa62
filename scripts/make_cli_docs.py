"""Writes docs/cli.md from the commands themselves; `--check` only tells whether it is up to date.

python -m scripts.make_cli_docs [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from typer.cli import get_docs_for_click

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"


def reference() -> str:
    """Every command with its arguments and options, as Markdown, by Typer's own generator."""
    from loop.cli import app

    command = typer.main.get_command(app)
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="deltaloop")
    return f"<!-- Generated: python -m scripts.make_cli_docs -->\n\n{page.strip()}\n"


def main() -> int:
    """Write the page, or compare it; 1 if it is out of date."""
    text = reference()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.name} is out of date: python -m scripts.make_cli_docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
