"""Samples for people: the prompts of a round that differ most, as a table with pictures and one response of each model.

    samples/most_different.json                    the table; a cell of its column `image` names the two files below
    table_images/samples/most_different/ID.png     the prompt's pictures side by side, made small
                                       /none.png   for a prompt without one, where others have some

So MLflow's own `log_table` lays tables with pictures out, and so its pages show them. What a model or a user wrote is
text in them, whatever it holds.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from loop.adapters.images import decode, to_png
from loop.adapters.mlflow_book import MlflowBook
from loop.ports import Blobs, Ledger
from loop.text import clean
from store.records import AnswerCount, Prompt, Rollout, Score

log = logging.getLogger(__name__)

SAMPLES = "samples/most_different.json"
PICTURES = PurePosixPath("table_images") / PurePosixPath(SAMPLES).with_suffix("")
ROWS, CHARACTERS = 20, 500
RESPONSE_CHARACTERS = 20_000
PICTURES_A_ROW, SIDE = 4, 384
"""Of a prompt's pictures so many are shown, none wider or higher than so many pixels."""
COLUMNS = [
    *("prompt", "question", "delta", "consistency", "teacher", "student", "teacher_response", "student_response"),
]


def write_samples(
    book: MlflowBook, run: str, round: int, scores: Sequence[Score], ledger: Ledger, blobs: Blobs
) -> None:
    """The table of a round's run and its pictures. A table that cannot be made is missed only."""
    try:
        table, pictures = sample_table(scores, ledger, blobs)
    except Exception as error:
        log.warning("no table of samples of round %d: %s: %s", round, type(error).__name__, error)
        return
    for path, png in pictures.items():
        book.file(run, path, png)
    book.table(run, SAMPLES, table)


def sample_table(scores: Sequence[Score], ledger: Ledger, blobs: Blobs) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The rows of highest Δ as {"columns", "data"}, and the pictures as PNG by path; missing prompts raise KeyError."""
    highest = sorted(scores, key=lambda score: (-score.delta, score.prompt_id))[:ROWS]
    prompts = ledger.prompts([score.prompt_id for score in highest])
    rows = [_row(score, prompt, ledger) for score, prompt in zip(highest, prompts, strict=True)]
    shown = [_picture(prompt, blobs) for prompt in prompts]
    if not any(shown):
        return {"columns": COLUMNS, "data": rows}, {}
    # A column that shows pictures must show one in every row.
    names = [f"{PICTURES}/{prompt.id if own else 'none'}.png" for prompt, own in zip(prompts, shown, strict=True)]
    cells = [{"type": "image", "filepath": name, "compressed_filepath": name} for name in names]
    data = [[*row[:2], cell, *row[2:]] for row, cell in zip(rows, cells, strict=True)]
    pictures = {
        name: own or to_png(Image.new("RGB", (16, 16), "white")) for name, own in zip(names, shown, strict=True)
    }
    return {"columns": [*COLUMNS[:2], "image", *COLUMNS[2:]], "data": data}, pictures


def _row(score: Score, prompt: Prompt, ledger: Ledger) -> list[Any]:
    answers = ledger.answers(prompt.id, [score.teacher, score.student])
    sides = [[row for row in answers if row.version == version] for version in (score.teacher, score.student)]
    told = [clean(_told(side))[:CHARACTERS] for side in sides]
    question = clean(prompt.question)[:CHARACTERS]
    responses = [_response(prompt.id, side, ledger) for side in sides]
    return [prompt.id, question, score.delta, score.consistency, *told, *responses]


def _told(answers: Sequence[AnswerCount]) -> str:
    """`31 ×12, 30 ×4`, the most frequent first."""
    counts: Counter[str] = Counter()
    for row in answers:
        counts[f"({row.status})" if row.answer is None else row.answer] += row.num
    return ", ".join(f"{answer} ×{num}" for answer, num in counts.most_common())


def _response(prompt: str, answers: Sequence[AnswerCount], ledger: Ledger) -> str:
    """A whole response that ended in the most frequent answer; '' where nothing was sampled."""
    if not answers:
        return ""
    most = max(answers, key=lambda row: row.num)
    held: Sequence[Rollout] = ledger.rollouts(most.version, most.sampling, [prompt]).get(prompt, ())
    text = next((row.text for row in held if (row.canonical, row.status) == (most.answer, most.status)), "")
    return clean(text if len(text) <= RESPONSE_CHARACTERS else text[:RESPONSE_CHARACTERS] + " … (cut here)")


def _picture(prompt: Prompt, blobs: Blobs) -> bytes | None:
    """A prompt's pictures side by side, small; None if it has none that can be read."""
    small = []
    for digest in prompt.images[:PICTURES_A_ROW]:
        with suppress(KeyError, OSError, ValueError):
            picture = decode(blobs.get(digest))
            picture.thumbnail((SIDE, SIDE))
            small.append(picture)
    if not small:
        return None
    row = Image.new("RGB", (sum(one.width for one in small), max(one.height for one in small)), "white")
    left = 0
    for one in small:
        row.paste(one, (left, 0))
        left += one.width
    return to_png(row)
