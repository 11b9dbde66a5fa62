"""A campaign of one round that takes seconds: tiny models from folders, JSONL prompts and held-out questions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TEXT = """
name = "{name}"
rounds = 1
[models]
teacher = "{teacher}"
student = "{student}"
device = "cpu"
threads = 1
[pool]
name = "{name}"
source = "{source}"
[sampling]
temperature = 1.0
max_tokens = 4
answer_pattern = "last_line"
[scoring]
teacher_samples = 4
student_samples = 4
reporting_samples = 0
[targeting]
regions = 2
[synthesis]
synthesizer = "none"
[selection]
min_consistency = 0.0
[training]
steps = 2
batch = 4
max_tokens = 4
[evaluation]
source = "held_out.jsonl"
main = ["own"]
beside = []
[tracking]
mlflow = false
"""


def write_campaign(
    folder: Path, name: str, *, teacher: str | Path, student: str | Path, source: str = "prompts.jsonl"
) -> Path:
    """The campaign file `name`.toml, beside what it reads."""
    file = folder / f"{name}.toml"
    file.write_text(TEXT.format(name=name, teacher=teacher, student=student, source=source), encoding="utf-8")
    return file


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")


def held_out(question: str, answer: str, *images: str) -> dict[str, Any]:
    """A row of `held_out.jsonl`."""
    row = {"suite": "own", "metric": "exact_match", "question": question, "answers": [answer]}
    return row | ({"images": list(images)} if images else {})
