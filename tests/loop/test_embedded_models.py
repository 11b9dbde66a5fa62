"""Every embedded model that a campaign file may name is shipped, and answers in the way that its name promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForImageTextToText, AutoProcessor

from loop.adapters.models import source_folder
from loop.paths import EMBEDDED_MODELS
from loop.world.sets import suite_items
from scripts.embedded_pair_table import final_answer, respond
from store.checkpoints import FileCheckpoints


@pytest.mark.slow
@pytest.mark.parametrize("source", EMBEDDED_MODELS)
def test_it_reads_its_picture_and_answers_with_a_rationale_or_without(source: str, tmp_path: Path) -> None:
    folder = source_folder(source, FileCheckpoints(tmp_path))
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    items = [
        item for item in suite_items("chart", 48, np.random.default_rng(0)) if item.question.family == "chart_read"
    ]
    texts = respond(model, AutoProcessor.from_pretrained(folder), items)
    assert len(items) >= 4
    assert [final_answer(text) for text in texts] == [item.question.answer for item in items]
    assert all(text.startswith("Answer:") == ("direct" in source) for text in texts)
