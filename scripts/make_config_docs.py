"""Writes docs/campaign_file.md from the settings classes; `--check` only tells whether it is up to date.

python -m scripts.make_config_docs [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from loop.campaign_file import reference
from scripts.generated_page import write_or_check

PAGE = Path(__file__).resolve().parents[1] / "docs" / "campaign_file.md"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, reference(), "make_config_docs"))
