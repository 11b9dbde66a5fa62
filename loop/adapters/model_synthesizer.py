"""The synthesizer that is a model: it is told what to write, and what it replies is read with suspicion.

    seeds, skills -> instructions (templates.py) -> generator (recorded in the ledger) -> replies (JSON) -> proposals

A reply that cannot be read is a proposal with a fault, and so is each entry of a readable one that is no question: both
end as rejected candidates, with what came instead. Images of seeds are reused; charts are drawn anew (charts.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loop.adapters.charts import CHART_SCHEMA, MARKS, QUESTION_SCHEMA, Chart, Number, draw
from loop.adapters.templates import Templates
from loop.generator import Generator
from loop.ports import Blobs, Contrast, Named, Proposal, Proposed, Wanted
from loop.teacher_answers import KNOWN_ANSWER
from loop.work import Work
from policies.chart_questions import OPERATIONS, Asked, ask
from policies.replies import read_name, read_object
from store.records import Origin, Prompt, Rollout, RolloutStatus, canonical_json

MAX_ASKED = 12
"""Existing questions on the same images that an instruction shows."""
MAX_RESPONSE_CHARS = 600
"""Of a student's response, in an instruction: its end, where the answer is."""
MAX_KEPT_CHARS = 1000
"""Of a reply that cannot be read, in the rejected candidate; the ledger's rollouts keep all of it."""


class Read(BaseModel):
    """JSON of a reply: nothing coerced; keys that nobody asked for are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class WrittenQuestion(Read):
    """A question as a generator writes it."""

    question: Annotated[str, Field(min_length=1, max_length=2000)]
    skill: str = ""


class WrittenQuestions(Read):
    """The reply to `seed_guided` and `skill_guided`."""

    questions: list[Any]


class WrittenChartQuestion(Read):
    """A question on a chart, not in words."""

    operation: str
    categories: list[str | int] = []
    series: str | int | None = None
    threshold: Number | None = None


class WrittenChart(Read):
    """The reply to `new_chart`."""

    chart: Chart
    questions: list[Any]


class WrittenSkill(Read):
    """The reply to `failure_skill`."""

    skill: str


def _object_of(**properties: object) -> Mapping[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TEXT = {"type": "string"}
QUESTIONS_SCHEMA = _object_of(questions={"type": "array", "items": _object_of(question=TEXT, skill=TEXT)})
NEW_CHART_SCHEMA = _object_of(chart=CHART_SCHEMA, questions={"type": "array", "items": QUESTION_SCHEMA})
SKILL_SCHEMA = _object_of(skill=TEXT)


@dataclass(frozen=True)
class Call:
    """One instruction: a seed, and how many questions are asked for."""

    seed: Prompt
    num: int
    instruction: Prompt
    wanted: Wanted


class ModelSynthesizer:
    """Implements `loop.ports.Synthesizer` and `loop.ports.SkillNamer` with a generator."""

    def __init__(self, generator: Generator, blobs: Blobs, templates: Templates) -> None:
        self._generator = generator
        self._blobs = blobs
        self._templates = templates

    def propose(self, work: Work, origin: Origin, wanted: Sequence[Wanted]) -> Proposed:
        """What the generator writes for all regions, asked at once; seeds are drawn without replacement."""
        calls = [list(self._calls(work, origin, one)) for one in wanted]
        read, schema = self._questions, QUESTIONS_SCHEMA
        if origin is Origin.NEW_CHART:
            read, schema = self._chart_questions, NEW_CHART_SCHEMA
        instructions = [call.instruction for own in calls for call in own]
        replies = self._generator.ask(work, f"synthesize/{origin}", instructions, schema)
        rollouts = iter(replies.rollouts)
        suffix = work.settings.generation.suffix
        return Proposed(
            tuple(
                tuple(row for call in own for row in _proposals(call, next(rollouts), partial(read, suffix=suffix)))
                for own in calls
            ),
            replies.spent,
        )

    def name_skills(self, work: Work, contrasts: Sequence[Contrast]) -> Named:
        """A name per contrast, '' where the reply holds none."""
        instructions = [
            self._instruct("failure_skill", row.prompt, row.prompt.images, _told(work, row)) for row in contrasts
        ]
        replies = self._generator.ask(work, "target", instructions, SKILL_SCHEMA)
        return Named(tuple(map(_name, replies.rollouts)), replies.spent)

    def _calls(self, work: Work, origin: Origin, wanted: Wanted) -> Iterator[Call]:
        """Instructions for one region, until enough is asked for."""
        settings = work.settings.generation
        order = np.random.default_rng(wanted.seed).permutation(len(wanted.seeds)).tolist()
        for number, start in enumerate(range(0, wanted.num, settings.questions)):
            seed = wanted.seeds[order[number % len(order)]]
            num = min(settings.questions, wanted.num - start)
            told: dict[str, object] = {"seed": seed.question.removesuffix(settings.suffix), "num": num}
            if origin is Origin.NEW_CHART:
                told |= {"skills": wanted.skills, "operations": OPERATIONS, "marks": MARKS}
                instruction = self._instruct("new_chart", seed, (), told)
            else:
                told |= {"pictures": len(seed.images), "asked": _asked(seed, wanted, settings.suffix)}
                guided = bool(wanted.skills)
                told |= {"skills": wanted.skills} if guided else {}
                instruction = self._instruct("skill_guided" if guided else "seed_guided", seed, seed.images, told)
            yield Call(seed, num, instruction, wanted)

    def _instruct(self, name: str, seed: Prompt, images: tuple[str, ...], told: Mapping[str, object]) -> Prompt:
        text = self._templates.render(name, told)
        return Prompt.make(text, images, Origin.INSTRUCTION, seed.id, {"template": name})

    def _questions(self, call: Call, value: Mapping[str, Any], *, suffix: str) -> Iterator[Proposal]:
        """Proposals on the seed's images."""
        asked_for = {skill.lower(): skill for skill in call.wanted.skills}
        kept = {key: text for key, text in call.seed.attributes.items() if key == "domain"}
        for entry in WrittenQuestions.model_validate(value).questions[: call.num]:
            try:
                written = WrittenQuestion.model_validate(entry)
                skill = read_name(written.skill)
                if asked_for and skill not in asked_for:
                    raise ValueError(f"skill {written.skill!r} is none of those that were asked for")
            except ValueError as error:
                yield _faulty(call, canonical_json(entry), error)
                continue
            attributes = kept | {"skill": asked_for.get(skill, skill)}
            yield Proposal(written.question.strip() + suffix, call.seed.images, call.seed.id, attributes)

    def _chart_questions(self, call: Call, value: Mapping[str, Any], *, suffix: str) -> Iterator[Proposal]:
        """Proposals on the chart of a reply, drawn if there is a question on it."""
        written = WrittenChart.model_validate(value)
        table, image = written.chart.table(), ""
        for entry in written.questions[: call.num]:
            try:
                question = WrittenChartQuestion.model_validate(entry)
                text, answer = ask(table, _asked_of_chart(question))
                image = image or self._blobs.put(draw(written.chart))
            except ValueError as error:
                yield _faulty(call, canonical_json(entry), error)
                continue
            attributes = {
                "skill": f"chart: {question.operation}",
                KNOWN_ANSWER: answer,
                "chart": canonical_json(written.chart.specification()),
            }
            yield Proposal(text + suffix, (image,), call.seed.id, attributes)


def _proposals(
    call: Call, rollout: Rollout, read: Callable[[Call, Mapping[str, Any]], Iterator[Proposal]]
) -> tuple[Proposal, ...]:
    """What a reply proposes; one faulty proposal if it cannot be read."""
    try:
        if rollout.status is RolloutStatus.TRUNCATED:
            raise ValueError(f"cut off after {rollout.num_tokens} tokens; raise generation.max_tokens")
        proposals = tuple(read(call, read_object(rollout.text)))
    except ValueError as error:
        return (_faulty(call, rollout.text, error),)
    return proposals or (_faulty(call, rollout.text, ValueError("the list of questions is empty")),)


def _faulty(call: Call, text: str, error: ValueError) -> Proposal:
    reason = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        reason = ".".join(map(str, first["loc"])) + f": {first['msg']}"
    fault = f"unreadable reply: {reason}"[:400]
    return Proposal(text[:MAX_KEPT_CHARS], call.instruction.images, call.seed.id, {}, fault)


def _asked(seed: Prompt, wanted: Wanted, suffix: str) -> list[str]:
    """Questions that exist on the seed's images, the seed's first."""
    same = [prompt for prompt in wanted.seeds if prompt.images == seed.images and prompt.id != seed.id]
    return [prompt.question.removesuffix(suffix) for prompt in (seed, *same[: MAX_ASKED - 1])]


def _told(work: Work, contrast: Contrast) -> dict[str, object]:
    return {
        "question": contrast.prompt.question.removesuffix(work.settings.generation.suffix),
        "pictures": len(contrast.prompt.images),
        "teacher": contrast.teacher,
        "student": [text[-MAX_RESPONSE_CHARS:] for text in contrast.student],
    }


def _name(rollout: Rollout) -> str:
    """The skill that a reply names, or ''."""
    try:
        return read_name(WrittenSkill.model_validate(read_object(rollout.text)).skill)
    except ValueError:
        return ""


def _asked_of_chart(question: WrittenChartQuestion) -> Asked:
    return Asked(
        question.operation,
        tuple(map(str, question.categories)),
        None if question.series is None else str(question.series),
        None if question.threshold is None else Decimal(str(question.threshold)),
    )
