"""What leaves: the prompts of a round with what it found out, filtered, readable by `datasets`, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest

from loop.adapters.parquet_shards import write_shards
from loop.campaign import run_campaign
from loop.export_prompts import Filters, choose, export_prompts, rows_of
from loop.intake import take_in
from loop.ports import Ports
from loop.stages import recorded
from loop.text import encodable
from store.errors import DeltaloopError
from store.records import Admitted, Origin, Prompt, Scores
from tests.fakes import fake_ports, fake_settings
from tests.hazards import HAZARDS
from tests.tiny_models import picture

HOSTILE = '=HYPERLINK("http://x") <script>alert(1)</script> | `x` \x00\x1b[31m\u202e read?'


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Ports:
    """A home in which the fake campaign has run two rounds; two of its prompts have pictures, one is hostile."""
    ports, student, teacher = fake_ports(tmp_path_factory.mktemp("home"))
    images = ports.blobs.put_all([picture(1), picture(2)])
    extra = [
        Prompt.make("read both?", images, attributes={"skill": "read", "family": "read"}),
        Prompt.make(HOSTILE, images[:1], attributes={"skill": "compare", "family": "<b>|`"}),
    ]
    take_in(iter(extra), "fake", ports.ledger, lambda done: None)
    run_campaign(fake_settings(), ports, student, teacher)
    return ports


EVERY = Filters()


def exported(ports: Ports, target: Path, filters: Filters = EVERY) -> datasets.Dataset:
    chosen = choose(ports.ledger, ports.blobs, "fake", None, filters)
    export_prompts(ports.ledger, ports.blobs, chosen, target, write_shards)
    return datasets.load_dataset(str(target), split="train", cache_dir=str(target.parent / "cache"))


def test_datasets_reads_back_what_the_ledger_holds(ports: Ports, tmp_path: Path) -> None:
    rows = exported(ports, tmp_path / "out")
    scores = recorded(ports.ledger, ports.blobs, "fake", 2, "score", Scores)
    admitted = recorded(ports.ledger, ports.blobs, "fake", 2, "synthesize", Admitted)
    assert scores is not None
    assert admitted is not None
    by_id = {score.prompt_id: score for score in (*scores.scores, *admitted.scores)}
    assert set(rows["id"]) == by_id.keys()
    prompts = {prompt.id: prompt for prompt in ports.ledger.pool("fake")}
    for row in rows:
        prompt, score = prompts[row["id"]], by_id[row["id"]]
        assert (row["question"], row["origin"], row["parent"]) == (prompt.question, prompt.origin, prompt.parent)
        assert (row["delta"], row["delta_low"], row["delta_high"]) == (score.delta, score.low, score.high)
        assert (row["consistency"], row["predicted"]) == (score.consistency, score.predicted)
        assert json.loads(row["attributes"]) == prompt.attributes
        assert sum(answer["count"] for answer in row["teacher_answers"]) == score.num_teacher
        assert row["teacher_answers"][0]["count"] == pytest.approx(score.consistency * score.num_teacher)
        assert row["teacher_answer"] in [answer["answer"] for answer in row["teacher_answers"]]
        assert row["region"] is not None
        assert [image.size for image in row["images"]] == [(32, 32)] * len(prompt.images)
    assert {row["origin"] for row in rows} == {"seed", "seed_guided", "skill_guided"}
    (both,) = (row for row in rows if row["question"] == "read both?")
    assert [image.tobytes() for image in both["images"]] != [both["images"][0].tobytes()] * 2


def test_hostile_text_survives_as_text_and_stays_out_of_the_card(ports: Ports, tmp_path: Path) -> None:
    rows = exported(ports, tmp_path / "out", Filters(skills=("compare", "<i>|`")))
    assert HOSTILE in rows["question"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "<script>" not in card
    assert '["compare", "<i>/\'"]' in card
    assert f"{len(rows)} of " in card


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        (Filters(min_delta=0.3), lambda row: row["delta"] >= 0.3),
        (Filters(max_delta=0.3), lambda row: row["delta"] <= 0.3),
        (Filters(min_consistency=0.99), lambda row: row["consistency"] >= 0.99),
        (Filters(origins=(Origin.SEED_GUIDED, Origin.SKILL_GUIDED)), lambda row: row["origin"] != "seed"),
        (Filters(skills=("count",)), lambda row: row["skill"] == "count"),
        (Filters(non_zero=True), lambda row: not row["zero_delta"]),
    ],
)
def test_a_filter_keeps_what_it_says_and_nothing_else(ports: Ports, filters: Filters, holds: Any) -> None:
    def rows(wanted: Filters) -> list[dict[str, Any]]:
        chosen = choose(ports.ledger, ports.blobs, "fake", 1, wanted)
        return [row for chunk in rows_of(chosen, ports.ledger, ports.blobs) for row in chunk]

    every = rows(Filters())
    kept = rows(filters)
    assert [row["id"] for row in kept] == [row["id"] for row in every if holds(row)]
    assert 0 < len(kept) < len(every)


def test_predicted_scores_are_marked_and_may_be_left_out(ports: Ports) -> None:
    chosen = choose(ports.ledger, ports.blobs, "fake", 1, Filters())
    prompt, score = chosen.entries[0]
    guessed = replace(chosen, entries=((prompt, replace(score, predicted=True, num_student=0)),))
    ((row,),) = rows_of(guessed, ports.ledger, ports.blobs)
    assert row["predicted"]
    assert not Filters(measured=True).keep(*guessed.entries[0])
    assert Filters(measured=True).keep(prompt, score)


def test_a_set_of_several_shards_is_one_set(tmp_path: Path, ports: Ports) -> None:
    chosen = choose(ports.ledger, ports.blobs, "fake", 1, Filters())
    chunks = ([row] for chunk in rows_of(chosen, ports.ledger, ports.blobs) for row in chunk[:3])
    write_shards(chunks, tmp_path / "data", shard_bytes=1)
    assert len(list((tmp_path / "data").glob("*.parquet"))) == 3
    assert datasets.load_dataset(str(tmp_path), split="train", cache_dir=str(tmp_path / "cache")).num_rows == 3


def test_an_export_that_fails_leaves_nothing(ports: Ports, tmp_path: Path) -> None:
    def break_off(chunks: Iterator[list[dict[str, Any]]], folder: Path) -> None:
        folder.mkdir()
        next(chunks)
        raise OSError("disk full")

    chosen = choose(ports.ledger, ports.blobs, "fake", 1, Filters())
    with pytest.raises(OSError, match="disk full"):
        export_prompts(ports.ledger, ports.blobs, chosen, tmp_path / "out", break_off)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_said(ports: Ports, tmp_path: Path) -> None:
    with pytest.raises(DeltaloopError, match="not round 7 of `fake` has scored its pool; rounds that have: 1, 2"):
        choose(ports.ledger, ports.blobs, "fake", 7, Filters())
    nothing = choose(ports.ledger, ports.blobs, "fake", 1, Filters(min_delta=99.0))
    with pytest.raises(DeltaloopError, match="loosen them"):
        export_prompts(ports.ledger, ports.blobs, nothing, tmp_path / "out", write_shards)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    whole = choose(ports.ledger, ports.blobs, "fake", 1, Filters())
    with pytest.raises(DeltaloopError, match="is there already"):
        export_prompts(ports.ledger, ports.blobs, whole, tmp_path / "used", write_shards)


def test_every_hazard_comes_back_as_the_text_that_it_is(tmp_path: Path) -> None:
    ports, student, teacher = fake_ports(tmp_path / "home")
    texts = {f"{text} number {number}?": text for text in HAZARDS.values() for number in range(2)}
    seeds = [
        Prompt.make(question, attributes={"skill": "read", "family": "read", "known_answer": text})
        for question, text in texts.items()
    ]
    take_in(iter(seeds), "fake", ports.ledger, lambda done: None)
    run_campaign(fake_settings(rounds=1, pool={"name": "fake", "size": 6}), ports, student, teacher)
    rows = {row["question"]: row for row in exported(ports, tmp_path / "out")}
    for question, text in texts.items():
        row = rows[encodable(question)]
        assert row["skill"] == "read"
        assert json.loads(row["attributes"])["known_answer"] == encodable(text)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert not [text for text in HAZARDS.values() if len(text) > 5 and text in card]
