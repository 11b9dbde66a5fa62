"""A known answer against the teacher's majority."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.rollouts import drawing_of
from loop.teacher_answers import known_answers_missed, teacher_answers
from loop.work import Work
from store.records import Prompt, Rollout, RolloutStatus
from tests.fakes import fake_ports, fake_settings


@pytest.mark.parametrize(
    ("known", "said", "missed"),
    [
        ("1200", ("1,200", "1200.0", "7", "7"), None),
        ("12", ("15", "15", "12", None), "the answer is '12', the teacher says '15'"),
        ("12", (None, None, None, None), None),
        (None, ("15", "15", "15", "15"), None),
    ],
)
def test_a_majority_that_is_another_answer_contradicts(
    tmp_path: Path, known: str | None, said: tuple[str | None, ...], missed: str | None
) -> None:
    ports, _, teacher = fake_ports(tmp_path)
    work = Work("fake", 1, fake_settings(), teacher)
    prompt = Prompt.make("How many?", attributes={} if known is None else {"known_answer": known})
    drawing = drawing_of(work, teacher, {prompt.id: 4}, key="")
    ports.ledger.add_version(teacher)
    ports.ledger.add_prompts([prompt])
    status = {True: RolloutStatus.NO_ANSWER, False: RolloutStatus.ANSWERED}
    forms = {"1,200": "1200", "1200.0": "1200"}
    ports.ledger.add_rollouts(
        [
            Rollout(
                prompt.id, teacher.id, drawing.sampling, index, 0, "", status[text is None], text,
                None if text is None else forms.get(text, text), 1,
            )
            for index, text in enumerate(said)
        ]
    )  # fmt: skip
    assert known_answers_missed(work, [prompt], ports) == ({} if missed is None else {prompt.id: missed})
    answers = teacher_answers(work, [prompt.id], ports)
    assert (prompt.id in answers) == any(said)
