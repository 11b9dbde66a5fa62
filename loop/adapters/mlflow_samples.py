"""Samples for people: the prompts of a round that differ most, with both models' answers, as a bounded table.

Every cell is text or a number: what a model or a user wrote stays text, whatever it holds, and an image is named by the
digest of its blob, so that no picture is copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from loop.ports import Ledger
from store.records import AnswerCount, Score

SAMPLES = "samples/most_different.json"
ROWS, CHARACTERS = 20, 500
COLUMNS = ["prompt", "question", "images", "delta", "consistency", "teacher", "student"]


def sample_table(scores: Sequence[Score], ledger: Ledger) -> dict[str, Any]:
    """The rows of highest Δ, as {"columns", "data"}; missing prompts raise KeyError."""
    highest = sorted(scores, key=lambda score: (-score.delta, score.prompt_id))[:ROWS]
    prompts = ledger.prompts([score.prompt_id for score in highest])
    rows = []
    for score, prompt in zip(highest, prompts, strict=True):
        answers = ledger.answers(prompt.id, [score.teacher, score.student])
        rows.append(
            [
                prompt.id,
                prompt.question[:CHARACTERS],
                ", ".join(prompt.images),
                score.delta,
                score.consistency,
                _told([row for row in answers if row.version == score.teacher]),
                _told([row for row in answers if row.version == score.student]),
            ]
        )
    return {"columns": COLUMNS, "data": rows}


def _told(answers: Sequence[AnswerCount]) -> str:
    """`31 ×12, 30 ×4`, the most frequent first."""
    counts: Counter[str] = Counter()
    for row in answers:
        counts[f"({row.status})" if row.answer is None else row.answer] += row.num
    return ", ".join(f"{answer} ×{num}" for answer, num in counts.most_common())[:CHARACTERS]
