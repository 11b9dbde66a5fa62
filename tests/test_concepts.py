"""The examples of the concept pages print what the pages say, and the pages name keys that a campaign file has."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from typing import Any

import pytest

from loop.config import CampaignSettings
from tests.conftest import ROOT
from tests.test_docs_commands import BLOCK

PAGES = sorted((ROOT / "docs" / "concepts").glob("*.md"), key=lambda path: path.name)
KEY = re.compile(r"`([a-z_]+)\.([a-z_]+)\b")


def printed(code: str, names: dict[str, Any]) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        exec(code, names)
    return out.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_examples_of_a_page_print_what_it_says(page: Any) -> None:
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert len(blocks) >= 2
    names: dict[str, Any] = {}
    for (language, code), (follows, output) in zip(blocks[::2], blocks[1::2], strict=True):
        assert (language, follows) == ("python", "text")
        assert printed(code, names) == output


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_keys_of_a_page_exist(page: Any) -> None:
    found = KEY.findall(page.read_text(encoding="utf-8"))
    sections = {
        name: value for name, value in dict(CampaignSettings(name="x")).items() if hasattr(value, "model_fields")
    }
    named = [(section, key) for section, key in found if section in sections]
    assert named
    assert [(section, key) for section, key in named if not hasattr(sections[section], key)] == []
