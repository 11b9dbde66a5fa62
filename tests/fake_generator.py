"""A generator that replies as a test says: good JSON by default, anything else where a test wants it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from loop.ports import SamplingJob
from store.records import Prompt, Sample, derive_seed
from tests.fakes import SKILLS, Beat

Reply = Callable[[Prompt, int], str]
"""What is replied to an instruction, by a seed."""


def template(instruction: Prompt) -> str:
    return instruction.attributes["template"]


def questions(*pairs: tuple[str, str]) -> str:
    return json.dumps({"questions": [{"question": question, "skill": skill} for question, skill in pairs]})


def chart(**changes: Any) -> dict[str, Any]:
    """A chart that is allowed: sales by month in two series."""
    rows = [
        {"month": month, "sales": value, "team": team}
        for team, values in {"North": (3.5, 4, 0.25), "South": (1, 2, 8)}.items()
        for month, value in zip(("Mar", "Jan", "Feb"), values, strict=True)
    ]
    encoding = {
        "x": {"field": "month", "type": "ordinal"},
        "y": {"field": "sales", "type": "quantitative", "title": "Sales (M$)"},
        "color": {"field": "team", "type": "nominal"},
    }
    return {"title": "Sales", "mark": "bar", "data": {"values": rows}, "encoding": encoding} | changes


def good(instruction: Prompt, seed: int) -> str:
    """The skills of the fake world: all of them when asked for questions, its weak ones when asked for a name."""
    rng = np.random.default_rng(seed)
    match template(instruction):
        case "failure_skill":
            weak = [skill for skill in ("subtract", "compare") if skill in instruction.question.splitlines()[2]]
            return json.dumps({"skill": weak[0].title() if weak else "count"})
        case "new_chart":
            asked = [{"operation": "value", "categories": [month], "series": "South"} for month in ("Mar", "Feb")]
            values = [{"month": month, "sales": int(rng.integers(99)), "team": "South"} for month in ("Mar", "Feb")]
            return json.dumps({"chart": chart(data={"values": values}), "questions": asked})
        case _:
            skills = [skill for skill in SKILLS if f"- {skill}\n" in instruction.question] or list(SKILLS)
            pairs = [(str(rng.choice(skills)), int(rng.integers(10_000))) for _ in range(4)]
            return questions(*((f"{skill} number {number}?", skill) for skill, number in pairs))


class FakeGenerator:
    """Implements `loop.ports.Sampler`; remembers what it was asked."""

    def __init__(self, reply: Reply = good, beat: Beat = lambda name: None, *, truncated: bool = False) -> None:
        self._reply = reply
        self._beat = beat
        self._truncated = truncated
        self.asked: list[Prompt] = []
        self.schemas: list[Mapping[str, object] | None] = []

    def sample(self, job: SamplingJob) -> Iterator[list[Sample]]:
        for prompt in job.prompts:
            self._beat("generate")
            self.asked += [prompt] * job.n
            self.schemas.append(job.schema)
            yield [self._one(prompt, index, job.seed) for index in job.indices]

    def _one(self, prompt: Prompt, index: int, seed: int) -> Sample:
        own = derive_seed(seed, prompt.id, index)
        return Sample(prompt.id, index, own, self._reply(prompt, own), 100, truncated=self._truncated)
