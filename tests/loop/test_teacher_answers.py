"""A known answer against the teacher's majority."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.rollouts import drawing_of
from loop.teacher_answers import known_answers_missed, teacher_answers, teacher_traces
from loop.work import Work
from store.records import Prompt, Rollout, RolloutStatus
from tests.fakes import fake_ports, fake_settings


def _rollouts(work: Work, prompt: Prompt, said: tuple[str | None, ...]) -> list[Rollout]:
    """The teacher's, with these answers; None for a response without one."""
    sampling = drawing_of(work, work.teacher, {}, key="").sampling
    status = {True: RolloutStatus.NO_ANSWER, False: RolloutStatus.ANSWERED}
    forms = {"1,200": "1200", "1200.0": "1200"}
    return [
        Rollout(
            prompt.id, work.teacher.id, sampling, index, 0, f"response {index}", status[text is None], text,
            None if text is None else forms.get(text, text), 1,
        )
        for index, text in enumerate(said)
    ]  # fmt: skip


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
    ports.ledger.add_version(teacher)
    ports.ledger.add_prompts([prompt])
    ports.ledger.add_rollouts(_rollouts(work, prompt, said))
    assert known_answers_missed(work, [prompt], ports) == ({} if missed is None else {prompt.id: missed})
    answers = teacher_answers(work, [prompt.id], ports)
    assert (prompt.id in answers) == any(said)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (("3", "3", "5", None), (0, 1)),
        (("3", "5", "5", "5"), (1, 2, 3)),
        ((None, None, None, "3"), (3,)),
        ((None, None), ()),
        ((), ()),
    ],
)
def test_traces_are_the_responses_that_give_the_majority_answer(
    tmp_path: Path, said: tuple[str | None, ...], kept: tuple[int, ...]
) -> None:
    ports, _, teacher = fake_ports(tmp_path)
    work = Work("fake", 1, fake_settings(), teacher)
    prompt = Prompt.make("How many?")
    ports.ledger.add_version(teacher)
    ports.ledger.add_prompts([prompt])
    ports.ledger.add_rollouts(_rollouts(work, prompt, said))
    traces = teacher_traces(work, [prompt.id], ports)
    assert traces == ({prompt.id: tuple(f"response {index}" for index in kept)} if kept else {})
