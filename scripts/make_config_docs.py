"""Writes docs/campaign_file.md from the settings classes; `--check` only tells whether it is up to date.

python -m scripts.make_config_docs [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from loop.campaign_file import reference

PAGE = Path(__file__).resolve().parents[1] / "docs" / "campaign_file.md"


def main() -> int:
    """Write the page, or compare it; 1 if it is out of date."""
    text = reference()
    if "--check" not in sys.argv[1:]:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.name} is out of date: python -m scripts.make_config_docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
