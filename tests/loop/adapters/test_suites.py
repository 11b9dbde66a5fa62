"""Suites are fixed, balanced and disjoint from the pool; answers are scored in each suite's own metric."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image

from loop.adapters.held_out import METRIC_BY_DOMAIN, EmbeddedHeldOut, open_held_out
from loop.adapters.images import to_png
from loop.adapters.sources import read_source
from loop.adapters.suites import Aside, SuiteEvaluator
from loop.config import Evaluation, Pool, Sampling, Synthesis
from loop.ports import Advance, Blobs
from loop.world import easy_vqa
from loop.world.questions import FAMILIES
from loop.world.scenes import from_json
from loop.world.tables import SOURCES, Split
from store.blobs import FileBlobs
from store.checkpoints import FileCheckpoints
from store.errors import UsageError
from store.garbage import collect
from store.ledger import Ledger
from store.records import HeldOutQuestion, Origin, Prompt, Role, Version, prompt_id
from tests.fakes import Scripted

VERSION = Version("v1", Role.STUDENT, "embedded:student")
DISTANCE = Synthesis().image_distance
SPLIT_BY_TABLE = {source.name: source.split for source in SOURCES}


class Quiet:
    def bar(self, label: str, total: int) -> nullcontext[Advance]:
        return nullcontext(lambda done: None)


class Counting(FileBlobs):
    num_put = 0

    def put(self, data: bytes) -> str:
        self.num_put += 1
        return super().put(data)


@pytest.fixture
def blobs(tmp_path: Path) -> Aside:
    """Blobs that need not be flushed to a disk."""
    return Aside(FileBlobs(tmp_path / "blobs"))


def evaluator_of(blobs: Blobs, samplers: Scripted, **settings: object) -> SuiteEvaluator:
    return SuiteEvaluator(
        samplers,
        blobs,
        sampling=Sampling(),
        evaluation=Evaluation.model_validate({"questions": 40, "batch": 16, **settings}),
        image_distance=DISTANCE,
    )


def say(text: str) -> Callable[[Prompt], str]:
    return lambda prompt: text


def gold(rows: Sequence[HeldOutQuestion]) -> Callable[[Prompt], str]:
    answers = {row.prompt.id: row.references[0] for row in rows}
    return lambda prompt: f"it says Answer: {answers[prompt.id]}"


def questions(blobs: Aside, suite: str, **settings: object) -> list[HeldOutQuestion]:
    evaluation = Evaluation.model_validate({"questions": 40, **settings})
    return list(open_held_out(evaluation, blobs).questions(suite))


@pytest.mark.parametrize("source", ["embedded", "file"])
def test_what_a_service_asks_for_weeks_outlives_the_garbage_collector(tmp_path: Path, source: str) -> None:
    blobs, checkpoints = FileBlobs(tmp_path / "blobs"), FileCheckpoints(tmp_path / "checkpoints")
    evaluator = evaluator_of(blobs, Scripted(say("Answer: x")), **two_questions(tmp_path, source))
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.add_prompts([Prompt.make("Whose?", [blobs.put(b"a picture that a row names")])], pool="pool")

        def weeks_later(*, asked_again: bool) -> int:
            for digest in blobs:
                os.utime(blobs.path(digest), (0, 0))
            if asked_again:
                evaluator.evaluate(VERSION, "chart", Quiet())
            return len(collect(ledger, blobs, checkpoints, tmp_path))

        first = evaluator.evaluate(VERSION, "chart", Quiet())
        asked = {image for row in evaluator.questions("chart") for image in row.prompt.images}
        weeks_later(asked_again=True)
        assert all(image in blobs for image in asked), "what has just been asked is not garbage"
        assert weeks_later(asked_again=False) >= len(asked)
        assert not any(image in blobs for image in asked)
        assert evaluator.evaluate(VERSION, "chart", Quiet()) == first
        assert all(image in blobs for image in asked), "they are there when a model looks at them"
        weeks_later(asked_again=False)
        whole = evaluator.suites(whole=True)[0]
        for row in evaluator.questions(whole):
            assert all(image in blobs for image in row.prompt.images)


def two_questions(folder: Path, source: str) -> dict[str, object]:
    """Settings of a suite `chart` that rounds ask two questions of; in a file it has four."""
    settings: dict[str, object] = {"questions": 2, "main": ["chart"], "beside": []}
    if source == "embedded":
        return settings
    with (folder / "held_out.jsonl").open("w", encoding="utf-8") as file:
        for number, colour in enumerate(("red", "green", "blue", "grey")):
            Image.new("RGB", (8, 8), colour).save(folder / f"{colour}.png")
            line = {"suite": "chart", "metric": "exact_match", "question": f"Which, of {number}?", "answers": ["x"]}
            print(json.dumps(line | {"images": [f"{colour}.png"]}), file=file)
    return settings | {"source": str(folder / "held_out.jsonl")}


@pytest.mark.parametrize("suite", ["chart", "document", "perception", "unseen", "easy_vqa"])
def test_a_suite_is_fixed_by_its_seed_and_balanced(blobs: Aside, suite: str) -> None:
    rows = questions(blobs, suite)
    assert questions(blobs, suite) == rows
    assert questions(blobs, suite, seed=1) != rows
    assert len({row.prompt.id for row in rows}) == 40
    families = Counter(row.prompt.attributes["family"] for row in rows)
    assert max(families.values()) - min(families.values()) <= 1
    wanted = {name for name, family in FAMILIES.items() if family.kinds and suite in ("unseen", family.domain)}
    assert set(families) == (wanted if suite != "easy_vqa" else {"easy_vqa"})
    for row in rows:
        assert row.prompt.origin is Origin.HELD_OUT
        assert blobs.get(row.prompt.images[0])[1:4] == b"PNG"


def test_suites_share_no_table_image_or_prompt_with_the_pool(blobs: Aside) -> None:
    pool = [row for row in read_source(Pool(size=150), blobs) if isinstance(row, Prompt)]
    images = {image for prompt in pool for image in prompt.images}
    for suite, split in {"chart": Split.HELD_OUT, "perception": Split.HELD_OUT, "unseen": Split.UNSEEN}.items():
        for row in questions(blobs, suite):
            assert SPLIT_BY_TABLE[from_json(row.prompt.attributes["scene"]).table] is split
            assert not images & set(row.prompt.images)
    tables = {from_json(prompt.attributes["scene"]).table for prompt in pool if "scene" in prompt.attributes}
    assert {SPLIT_BY_TABLE[table] for table in tables} == {Split.POOL}
    assert not images & {row.prompt.images[0] for row in questions(blobs, "easy_vqa")}


def test_names_of_rounds_and_of_the_end(blobs: Aside) -> None:
    evaluator = evaluator_of(blobs, Scripted(say("")))
    assert evaluator.suites(whole=False) == ("chart", "document", "perception", "easy_vqa", "unseen")
    assert evaluator.suites(whole=True) == ("chart", "document", "perception", "easy_vqa_whole", "unseen")


def test_the_whole_of_easy_vqa_is_the_official_test(blobs: Aside) -> None:
    held_out = EmbeddedHeldOut(Evaluation(questions=40), blobs)
    assert held_out.size("easy_vqa_whole") == 9673
    rows = list(held_out.questions("easy_vqa_whole"))
    official = [(drawn.question.text, drawn.question.answer) for drawn in easy_vqa.test_questions()]
    assert [(row.prompt.question, row.references[0]) for row in rows] == official
    assert {row.prompt.id for row in questions(blobs, "easy_vqa")} < {row.prompt.id for row in rows}


@pytest.mark.parametrize("suite", ["chart", "document", "perception", "unseen", "easy_vqa"])
def test_gold_answers_score_one_and_none_scores_zero(blobs: Aside, suite: str) -> None:
    rows = questions(blobs, suite)
    right = evaluator_of(blobs, Scripted(gold(rows))).evaluate(VERSION, suite, Quiet())
    assert right.prompt_ids == tuple(row.prompt.id for row in rows)
    assert right.families == tuple(row.prompt.attributes["family"] for row in rows)
    assert right.values == (1.0,) * 40
    silent = evaluator_of(blobs, Scripted(say("no idea"))).evaluate(VERSION, suite, Quiet())
    assert silent.values == (0.0,) * 40
    cut = evaluator_of(blobs, Scripted(gold(rows), truncated=True)).evaluate(VERSION, suite, Quiet())
    assert cut.values == (0.0,) * 40


def test_each_suite_keeps_its_own_metric(blobs: Aside) -> None:
    evaluator = evaluator_of(blobs, Scripted(say("Answer: 1")))
    metrics = {suite: evaluator.evaluate(VERSION, suite, Quiet()).metric for suite in evaluator.suites(whole=False)}
    assert metrics == METRIC_BY_DOMAIN | {"unseen": "by_domain", "easy_vqa": "exact_match"}


def test_unseen_questions_are_scored_by_their_domain(blobs: Aside) -> None:
    rows = questions(blobs, "unseen")
    answers = {row.prompt.id: row.references[0] for row in rows}

    def nearly(prompt: Prompt) -> str:
        """Numbers 4 % too high, words with another last letter."""
        answer = answers[prompt.id]
        return f"Answer: {1.04 * int(answer)}" if answer.isdecimal() else f"Answer: {answer[:-1]}x"

    report = evaluator_of(blobs, Scripted(nearly)).evaluate(VERSION, "unseen", Quiet())
    values: dict[tuple[str, str], set[float]] = {}
    for row, value in zip(rows, report.values, strict=True):
        answer = row.references[0]
        if answer != "0" and len(answer) != 1:
            kind = "number" if answer.isdecimal() else "word"
            values.setdefault((row.prompt.attributes["domain"], kind), set()).add(value)
    assert values["chart", "number"] == {1.0}, "relaxed accuracy forgives 5 %"
    assert values["chart", "word"] == {0.0}, "but no letter"
    assert all(0.5 <= value < 1.0 for value in values["document", "word"]), "ANLS forgives one"
    assert values["perception", "word"] == {0.0}, "exact match forgives nothing"


def test_answers_are_greedy_and_batches_are_the_same_for_every_version(blobs: Aside) -> None:
    first, second = Scripted(say("Answer: 1")), Scripted(say("Answer: 2"))
    evaluator_of(blobs, first).evaluate(VERSION, "chart", Quiet())
    evaluator_of(blobs, second).evaluate(Version("v2", Role.TEACHER, "t"), "chart", Quiet())
    assert first.batches == second.batches
    assert [len(batch) for batch in first.batches] == [16, 16, 8]
    assert {(n, settings.temperature) for n, settings in first.settings} == {(1, 0.0)}


def test_held_out_questions_of_every_suite_are_contaminated_and_pool_prompts_are_not(blobs: Aside) -> None:
    evaluator = evaluator_of(blobs, Scripted(say("")))
    for suite in evaluator.suites(whole=True):
        row = questions(blobs, suite)[-1]
        again = Prompt.make(row.prompt.question.upper(), row.prompt.images)
        collision = evaluator.contaminated(again)
        assert collision is not None
        assert collision == row.prompt.id or suite == "easy_vqa_whole", "easy-vqa may ask it of a very similar picture"
        assert evaluator.contaminated(Prompt.make("what else is there to see ?", row.prompt.images)) is None
    pool = [row for row in read_source(Pool(size=60), blobs) if isinstance(row, Prompt)]
    assert [prompt.id for prompt in pool if evaluator.contaminated(prompt)] == []


def test_looking_at_whole_suites_writes_no_image(tmp_path: Path) -> None:
    below = Counting(tmp_path)
    evaluator = evaluator_of(below, Scripted(say("")), main=["perception"], beside=["easy_vqa"])
    evaluator.contaminated(Prompt.make("anything ?"))
    assert below.num_put == 80


def test_an_unknown_suite_is_refused_by_name(blobs: Aside) -> None:
    with pytest.raises(UsageError, match="'charts'"):
        evaluator_of(blobs, Scripted(say("")), main=["charts"])


# Suites from a file


def write(tmp_path: Path, *entries: object) -> str:
    path = tmp_path / "suites.jsonl"
    path.write_text("\n".join(json.dumps(entry) for entry in entries), encoding="utf-8")
    (tmp_path / "a.png").write_bytes(to_png(Image.new("RGB", (8, 8), "red")))
    return str(path)


def entry(number: int, **other: object) -> dict[str, object]:
    row = {"suite": "mine", "metric": "anls", "question": f"{number} ?", "images": ["a.png"], "answers": [str(number)]}
    return row | other


def test_a_file_gives_suites_subsamples_and_wholes(tmp_path: Path, blobs: Aside) -> None:
    rows = [entry(n, attributes={"family": "f"}) for n in range(9)]
    source = write(tmp_path, *rows, entry(1, suite="few", metric="exact_match"))
    settings = {"source": source, "main": ["mine"], "beside": ["few"], "questions": 5}
    evaluator = evaluator_of(blobs, Scripted(lambda prompt: f"Answer: {prompt.question[0]}"), **settings)
    assert evaluator.suites(whole=False) == ("mine", "few")
    assert evaluator.suites(whole=True) == ("mine_whole", "few")
    part, whole = (evaluator.evaluate(VERSION, suite, Quiet()) for suite in ("mine", "mine_whole"))
    assert (len(part.values), len(whole.values)) == (5, 9)
    assert set(part.prompt_ids) < set(whole.prompt_ids)
    assert (whole.metric, whole.accuracy, whole.families) == ("anls", 1.0, ("f",) * 9)
    image = blobs.put((tmp_path / "a.png").read_bytes())
    assert whole.prompt_ids == tuple(prompt_id(f"{n} ?", [image]) for n in range(9))
    assert evaluator.contaminated(Prompt.make("8?", [image])) == prompt_id("8 ?", [image])


BAD_SUITES: dict[str, tuple[list[object], str]] = {
    "no suite": ([entry(0, suite=None)], "`suite`"),
    "reserved name": ([entry(0, suite="mine_whole")], "`suite`"),
    "unknown metric": ([entry(0, metric="bleu")], "'bleu'"),
    "two metrics": ([entry(0), entry(1, metric="exact_match")], "already"),
    "no answers": ([entry(0, answers=[])], "`answers`"),
    "answers of another type": ([entry(0, answers=[4])], "`answers`"),
    "missing image": ([entry(0, images=["b.png"])], "'b.png'"),
    "empty question": ([entry(0, question="")], "empty"),
    "not an object": ([7], "not a JSON object"),
    "another suite only": ([entry(0, suite="yours")], "no suite 'mine'"),
}


@pytest.mark.parametrize("name", BAD_SUITES)
def test_a_suite_with_a_bad_line_is_refused_with_its_place(tmp_path: Path, blobs: Aside, name: str) -> None:
    entries, reason = BAD_SUITES[name]
    evaluator = evaluator_of(blobs, Scripted(say("")), source=write(tmp_path, *entries), main=["mine"], beside=[])
    with pytest.raises(UsageError) as caught:
        evaluator.evaluate(VERSION, "mine", Quiet())
    assert "`evaluation.source`" in str(caught.value)
    assert reason in str(caught.value)
    if name != "another suite only":
        assert f"suites.jsonl:{len(entries)}" in str(caught.value)


def test_a_missing_suite_file_is_refused_at_once(tmp_path: Path, blobs: Aside) -> None:
    with pytest.raises(UsageError, match=r"evaluation\.source"):
        evaluator_of(blobs, Scripted(say("")), source=str(tmp_path / "gone.jsonl"))
