"""A page of the docs that a script writes; with `--check` it only tells whether the page is up to date."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(page: Path, text: str, script: str) -> int:
    """Write the page, or compare it; 1 if it is out of date."""
    if "--check" not in sys.argv[1:]:
        page.write_text(text, encoding="utf-8")
        return 0
    if page.exists() and page.read_text(encoding="utf-8") == text:
        return 0
    print(f"{page.name} is out of date: python -m scripts.{script}", file=sys.stderr)
    return 1
