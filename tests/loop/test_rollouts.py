"""A response is drawn once, and read as often as the way of reading changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from loop.config import CampaignSettings
from loop.delta_report import measure
from loop.ports import Ports
from loop.rollouts import drawing_of, held_rollouts, sample_side, sampling_key, sampling_keys
from loop.work import Work
from store.records import RolloutStatus, Version
from tests.fakes import fake_ports, fake_settings, make_prompt

PROMPTS = [make_prompt("read", number) for number in range(4)]
IDS = [prompt.id for prompt in PROMPTS]


class Desk:
    """A ledger and a teacher that counts its samples."""

    def __init__(self, home: Path) -> None:
        self.beats: Counter[str] = Counter()
        self.ports: Ports
        self.teacher: Version
        self.ports, _, self.teacher = fake_ports(home, lambda name: self.beats.update([name]))
        self.ports.ledger.add_version(self.teacher)
        self.ports.ledger.add_prompts(PROMPTS)

    def work(self, **settings: object) -> Work:
        return Work("fake", 1, fake_settings(**settings), self.teacher)

    def sample(self, num: int, stage: str, **settings: object):  # type: ignore[no-untyped-def]
        wanted = dict.fromkeys(IDS, num)
        return sample_side(self.work(**settings), self.teacher, wanted, PROMPTS, self.ports, stage=stage)


@pytest.mark.parametrize(
    "settings",
    [
        {"answers": {"percent": "number"}},
        {"sampling": {"answer_pattern": "last_line"}},
        {"sampling": {"answer_pattern": r"(see)"}},
        {"sampling": {"batch": 2}},
    ],
)
def test_another_reading_draws_nothing_and_costs_nothing(tmp_path: Path, settings: dict[str, object]) -> None:
    desk = Desk(tmp_path)
    first = desk.sample(3, "first")
    assert (first.samples, desk.beats["sample"]) == (12, 4)
    second = desk.sample(3, "second", **settings)
    assert (second.samples, second.tokens, desk.beats["sample"]) == (0, 0, 4)
    for id in IDS:
        assert [(row.index, row.seed, row.text) for row in second.rollouts[id]] == [
            (row.index, row.seed, row.text) for row in first.rollouts[id]
        ]


def test_answers_are_those_of_the_reading_and_the_first_ones_stay(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    first = desk.sample(3, "first")
    whole = desk.sample(3, "second", sampling={"answer_pattern": r"(I see)"})
    assert {row.answer for rows in whole.rollouts.values() for row in rows} == {"I see"}
    none = desk.sample(3, "third", sampling={"answer_pattern": "boxed"})
    assert {row.status for rows in none.rollouts.values() for row in rows} == {RolloutStatus.NO_ANSWER}
    assert desk.sample(3, "fourth").rollouts == first.rollouts
    assert desk.beats["sample"] == 4


def test_what_is_not_there_in_any_reading_is_drawn_and_nothing_else(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.sample(3, "first")
    more = desk.sample(5, "second", answers={"percent": "number"})
    assert more.samples == 8
    assert [row.index for row in more.rollouts[IDS[0]]] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("settings", [{"sampling": {"temperature": 0.1}}, {"sampling": {"max_tokens": 8}}])
def test_another_drawing_is_drawn(tmp_path: Path, settings: dict[str, object]) -> None:
    desk = Desk(tmp_path)
    desk.sample(3, "first")
    assert desk.sample(3, "second", **settings).samples == 12


def test_a_truncated_response_stays_truncated(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    rows = desk.sample(1, "first").rollouts[IDS[0]]
    cut = [replace(row, index=1, status=RolloutStatus.TRUNCATED, answer=None, canonical=None) for row in rows]
    desk.ports.ledger.add_rollouts(cut)
    drawing = drawing_of(desk.work(answers={"percent": "number"}), desk.teacher, {IDS[0]: 2}, key="")
    read = held_rollouts(drawing, desk.ports)[IDS[0]]
    assert [row.status for row in read] == [RolloutStatus.ANSWERED, RolloutStatus.TRUNCATED]
    assert read[1].canonical is None


def test_rollouts_from_before_keys_had_two_parts_are_found(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    settings = fake_settings()
    own, before = sampling_keys(settings.sampling, settings.answers.settings())
    assert own == sampling_key(settings.sampling, settings.answers.settings())
    rows = desk.sample(2, "elsewhere", sampling={"temperature": 0.1}).rollouts
    old = [replace(row, sampling=before) for own_rows in rows.values() for row in own_rows]
    desk.ports.ledger.add_rollouts(old)
    assert desk.sample(2, "now").samples == 0
    assert desk.ports.ledger.rollouts(desk.teacher.id, before, IDS).keys() == set(IDS)


def test_a_score_with_corrected_answers_pays_nothing(tmp_path: Path) -> None:
    beats: Counter[str] = Counter()
    ports, student, teacher = fake_ports(tmp_path, lambda name: beats.update([name]))

    def score(settings: CampaignSettings) -> int:
        return measure(settings, ports, student, teacher).samples

    assert score(fake_settings()) > 0
    before = beats["sample"]
    assert score(fake_settings(sampling={"batch": 10, "answer_pattern": "last_line"})) == 0
    assert beats["sample"] == before
