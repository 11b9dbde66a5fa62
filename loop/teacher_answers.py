"""What the teacher's majority answers, how it got there, and where that contradicts an answer that is known.

The `known_answer` attribute of a prompt is computed, not sampled, e.g. from the data of a chart that was made for it: a
candidate on which the teacher says otherwise would teach an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loop.ports import Ports
from loop.rollouts import drawing_of, held_rollouts
from loop.work import Work
from policies.answers import canonical, options_in
from policies.divergence import answer_class, majority
from store.records import Prompt, Rollout

KNOWN_ANSWER = "known_answer"


@dataclass(frozen=True)
class MajorityAnswer:
    """The answer that most of the teacher's selecting samples give."""

    form: str
    """Its canonical form."""
    text: str
    """As one of the samples puts it."""


def teacher_answers(work: Work, ids: Iterable[str], ports: Ports) -> dict[str, MajorityAnswer]:
    """The teacher's majority answer by prompt id, of what the ledger holds; absent where no sample answers."""
    return {
        id: MajorityAnswer(answer_class(first), first.answer)
        for id, (first, *_) in _majority(work, ids, ports).items()
        if first.answer is not None
    }


def teacher_traces(work: Work, ids: Iterable[str], ports: Ports) -> dict[str, tuple[str, ...]]:
    """The teacher's responses that give its majority answer, by prompt id; absent where none gives an answer."""
    return {id: tuple(row.text for row in rows) for id, rows in _majority(work, ids, ports).items()}


def _majority(work: Work, ids: Iterable[str], ports: Ports) -> dict[str, list[Rollout]]:
    """The teacher's selecting samples that give its majority answer, in order of index; absent where none answers."""
    wanted = dict.fromkeys(ids, work.settings.scoring.teacher_samples)
    held = held_rollouts(drawing_of(work, work.teacher, wanted, key=""), ports)
    found = {}
    for id, rollouts in held.items():
        answered = [row for row in rollouts if row.answer is not None]
        if answered:
            form = majority([answer_class(row) for row in rollouts])
            found[id] = [row for row in answered if answer_class(row) == form]
    return found


def known_answers_missed(work: Work, prompts: Sequence[Prompt], ports: Ports) -> dict[str, str]:
    """By prompt id, in words, how the teacher's majority contradicts a known answer."""
    known = {prompt.id: prompt for prompt in prompts if KNOWN_ANSWER in prompt.attributes}
    missed = {}
    for id, said in teacher_answers(work, known, ports).items():
        answer = known[id].attributes[KNOWN_ANSWER]
        options = options_in(known[id].question) or None
        if said.form != canonical(answer, options=options, settings=work.settings.answers.settings()):
            missed[id] = f"the answer is {answer!r}, the teacher says {said.text!r}"
    return missed
