"""What a generator is asked, and what is made of its replies."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from loop.adapters.model_synthesizer import NEW_CHART_SCHEMA, QUESTIONS_SCHEMA, SKILL_SCHEMA, ModelSynthesizer
from loop.adapters.templates import Templates
from loop.generator import Generator
from loop.ports import Contrast, Proposal, Wanted
from loop.spending import Spending
from loop.work import Work
from store.blobs import FileBlobs
from store.ledger import Ledger
from store.records import Origin, Prompt, Role, Version
from tests.fake_generator import FakeGenerator, chart, questions, template
from tests.fakes import QuietProgress, fake_settings

VERSION = Version("g" * 64, Role.GENERATOR, "fake:generator")
SUFFIX = ' End with "Answer: X".'
IMAGE = "1" * 64


class Opens:
    def __init__(self, generator: FakeGenerator) -> None:
        self._generator = generator

    def open(self, version: Version) -> FakeGenerator:
        assert version == VERSION
        return self._generator


class Desk:
    """A synthesizer on a generator, with a ledger that holds the seeds."""

    def __init__(self, folder: Path, generator: FakeGenerator) -> None:
        self.ledger = Ledger(folder / "ledger.db")
        self.blobs = FileBlobs(folder / "blobs")
        asking = Generator(VERSION, self.ledger, Opens(generator), QuietProgress(), Spending())
        self.synthesizer = ModelSynthesizer(asking, self.blobs, Templates())
        self.seeds = tuple(
            Prompt.make(f"Seed {number}?{SUFFIX}", (IMAGE,) if number < 3 else (), attributes={"domain": "chart"})
            for number in range(5)
        )
        self.ledger.add_prompts(self.seeds)

    def propose(
        self, num: int, *, origin: Origin = Origin.SEED_GUIDED, skills: tuple[str, ...] = (), questions: int = 2
    ) -> tuple[Proposal, ...]:
        wanted = Wanted(self.seeds, num, skills, seed=1)
        return self.synthesizer.propose(work(questions=questions), origin, [wanted]).proposals[0]


def work(round: int = 1, **generation: object) -> Work:
    settings = fake_settings(synthesis={"synthesizer": "model"}, generation={"suffix": SUFFIX} | generation)
    return Work("fake", round, settings, Version("t" * 64, Role.TEACHER, "fake:teacher"))


def says(text: str) -> FakeGenerator:
    return FakeGenerator(lambda instruction, seed: text)


def numbered() -> FakeGenerator:
    """Other questions in each reply."""
    count = iter(range(1000))
    return FakeGenerator(lambda instruction, seed: questions(*((f"Q{next(count)}?", "read") for _ in range(3))))


def test_questions_are_asked_of_the_seeds_pictures_each_seed_once_before_any_twice(tmp_path: Path) -> None:
    generator = numbered()
    desk = Desk(tmp_path, generator)
    rows = desk.propose(10)
    assert len(rows) == 10
    assert set(Counter(row.parent for row in rows).values()) == {2}
    by_id = {seed.id: seed for seed in desk.seeds}
    assert all(row.images == by_id[row.parent].images for row in rows)
    assert {row.attributes["domain"] for row in rows} == {"chart"}
    assert len({row.question for row in rows}) == 10
    assert generator.schemas == [QUESTIONS_SCHEMA] * 5
    assert [prompt.images for prompt in generator.asked].count((IMAGE,)) == 3


def test_no_more_than_what_is_wanted_is_taken_and_the_rest_is_asked_for(tmp_path: Path) -> None:
    generator = numbered()
    assert len(Desk(tmp_path, generator).propose(3)) == 3
    assert sorted("Write 1 new" in prompt.question for prompt in generator.asked) == [False, True]


def test_a_suffix_is_hidden_from_the_generator_and_ends_what_it_writes(tmp_path: Path) -> None:
    generator = numbered()
    rows = Desk(tmp_path, generator).propose(4)
    assert all(row.question.endswith(f"?{SUFFIX}") for row in rows)
    assert not any(SUFFIX in prompt.question for prompt in generator.asked)


def test_existing_questions_on_the_same_picture_are_shown(tmp_path: Path) -> None:
    generator = numbered()
    Desk(tmp_path, generator).propose(10)
    shown = [prompt.question for prompt in generator.asked if prompt.images]
    assert all(f"- Seed {number}?\n" in text for text in shown for number in range(3))
    assert not any("- Seed 4?\n" in text for text in shown)


def test_only_skills_that_were_asked_for_are_taken(tmp_path: Path) -> None:
    reply = questions(("A?", "Compare."), ("B?", "sing"), ("C?", "count"))
    generator = says(reply)
    rows = Desk(tmp_path, generator).propose(3, origin=Origin.SKILL_GUIDED, skills=("compare", "count"), questions=3)
    assert [row.attributes.get("skill") for row in rows] == ["compare", None, "count"]
    assert [row.fault for row in rows] == [
        "",
        "unreadable reply: skill 'sing' is none of those that were asked for",
        "",
    ]
    assert template(generator.asked[0]) == "skill_guided"
    assert "- compare\n- count\n" in generator.asked[0].question


@pytest.mark.parametrize(
    ("text", "kept", "faults"),
    [
        (f"Sure!\n```json\n{questions(('A?', 'read'))}\n```", ["A?"], []),
        ('{"questions": [{"question": "A?", "skill": "read", "answer": 3}], "more": 1}', ["A?"], []),
        ('{"questions": [{"question": "A?", "skill": 3}, {"question": "B?", "skill": "x"}]}', ["B?"], ["skill: "]),
        ('{"questions": [["A?"], null, {"question": ""}]}', [], ["", "", "question: "]),
        ('{"questions": []}', [], ["the list of questions is empty"]),
        ('{"question": "A?"}', [], ["questions: Field required"]),
        ("", [], ["no JSON object"]),
    ],
)
def test_good_entries_are_kept_and_each_bad_one_has_its_reason(
    tmp_path: Path, text: str, kept: list[str], faults: list[str]
) -> None:
    rows = Desk(tmp_path, says(text)).propose(3, questions=3)
    assert [row.question.removesuffix(SUFFIX) for row in rows if not row.fault] == kept
    bad = [row.fault for row in rows if row.fault]
    assert len(bad) == len(faults)
    assert all(words in fault for fault, words in zip(bad, faults, strict=True))


def test_a_reply_that_was_cut_off_is_one_rejected_candidate_with_its_text(tmp_path: Path) -> None:
    cut = FakeGenerator(lambda instruction, seed: '{"questions": [{"quest', truncated=True)
    (row,) = Desk(tmp_path, cut).propose(2)
    assert row.fault == "unreadable reply: cut off after 100 tokens; raise generation.max_tokens"
    assert row.question == '{"questions": [{"quest'


def asked_chart(*entries: dict[str, object], **changes: object) -> str:
    return json.dumps({"chart": chart(**changes), "questions": list(entries)})


def test_a_chart_is_drawn_once_for_its_questions_and_their_answers_are_known(tmp_path: Path) -> None:
    highest = {"operation": "highest", "series": "South"}
    generator = says(asked_chart({"operation": "value", "categories": ["Jan"], "series": "North"}, highest))
    desk = Desk(tmp_path, generator)
    first, second = desk.propose(2, origin=Origin.NEW_CHART)
    assert first.question == f"What is the value of Sales (M$) for Jan in the series North?{SUFFIX}"
    assert [row.attributes["known_answer"] for row in (first, second)] == ["4", "Feb"]
    assert first.images == second.images != ()
    assert desk.blobs.get(first.images[0]).startswith(b"\x89PNG")
    assert json.loads(first.attributes["chart"])["data"]["values"][0] == {"month": "Mar", "sales": 3.5, "team": "North"}
    assert generator.schemas == [NEW_CHART_SCHEMA]
    assert generator.asked[0].images == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (asked_chart({"operation": "median", "series": "North"}), "'median' is none of"),
        (asked_chart({"operation": "total", "series": "West"}), "'West' is none of North, South"),
        (asked_chart({"operation": "total", "series": "North"}, data={"url": "file:///etc/passwd"}), "chart.data"),
        (asked_chart({"operation": "total", "series": "North"}, transform=[]), "chart.transform: Extra inputs"),
    ],
)
def test_a_chart_that_is_not_allowed_or_not_answered_is_not_drawn(tmp_path: Path, text: str, fault: str) -> None:
    desk = Desk(tmp_path, says(text))
    (row,) = desk.propose(2, origin=Origin.NEW_CHART)
    assert fault in row.fault
    assert list(desk.blobs) == []


CONTRAST = Contrast(Prompt.make("How many bars?", (IMAGE,)), "7", ("x" * 2000 + " Answer: 3", "Answer: 4"))


@pytest.mark.parametrize(
    ("text", "name"),
    [('{"skill": "Count the bars."}', "count the bars"), ('{"skill": 7}', ""), ("count", ""), ('{"skill": " "}', "")],
)
def test_a_skill_is_named_from_a_contrast(tmp_path: Path, text: str, name: str) -> None:
    generator = says(text)
    desk = Desk(tmp_path, generator)
    desk.ledger.add_prompts([CONTRAST.prompt])
    named = desk.synthesizer.name_skills(work(), [CONTRAST])
    assert named.skills == (name,)
    assert (named.spent.generator_samples, named.spent.generator_tokens) == (1, 100)
    (asked,) = generator.asked
    assert asked.images == (IMAGE,)
    assert all(words in asked.question for words in ("How many bars?", "is: 7\n", "Answer: 3\n", "Answer: 4\n"))
    assert len(asked.question) < 2000
    assert generator.schemas == [SKILL_SCHEMA]


def test_the_same_work_asks_nothing_again_and_another_round_asks_anew(tmp_path: Path) -> None:
    generator = numbered()
    desk = Desk(tmp_path, generator)
    wanted = [Wanted(desk.seeds, 14, (), seed=1)]
    first = desk.synthesizer.propose(work(questions=2), Origin.SEED_GUIDED, wanted)
    assert len(generator.asked) == 7
    assert desk.synthesizer.propose(work(questions=2), Origin.SEED_GUIDED, wanted) == first
    assert len(generator.asked) == 7
    second = desk.synthesizer.propose(work(2, questions=2), Origin.SEED_GUIDED, wanted)
    assert len(generator.asked) == 14
    assert not {row.question for row in first.proposals[0]} & {row.question for row in second.proposals[0]}
