"""What passes the screen before any model is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from loop.ports import Ports
from loop.screening import Draft, Screen
from loop.work import Work
from store.records import Fate, Prompt
from tests.fakes import fake_ports, fake_settings

ATTRIBUTES = {"skill": "count", "family": "count"}
POOL = [
    Prompt.make("How many bars?", ("a",), attributes=ATTRIBUTES),
    Prompt.make("Which is it?", attributes=ATTRIBUTES),
]


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    ports, _, teacher = fake_ports(tmp_path)
    ports.ledger.add_version(teacher)
    ports.ledger.add_prompts(POOL, pool="fake")
    return ports


def fates(ports: Ports, *batches: list[tuple[str, tuple[str, ...]]]) -> list[dict[str, tuple[Fate, str]]]:
    """Of each batch the rejected questions, with fate and detail."""
    _, _, teacher = fake_ports(ports.work_dir)
    screen = Screen(Work("fake", 1, fake_settings(), teacher), {prompt.id for prompt in POOL}, ports)
    found = []
    for number, batch in enumerate(batches):
        drafts = [Draft(Prompt.make(question, images, attributes=ATTRIBUTES), 0) for question, images in batch]
        rejected, passed = screen.check(drafts, key=f"screen/{number}")
        assert len(rejected) + len(passed) == len(drafts)
        found.append({row.prompt.question: (row.fate, row.detail) for row in rejected})
    return found


def test_another_spelling_of_a_pool_question_on_the_same_picture_is_a_duplicate(ports: Ports) -> None:
    (rejected,) = fates(ports, [("how many BARS", ("a",)), ("how many  bars", ("b",)), ("How many lines?", ("a",))])
    assert rejected == {"how many BARS": (Fate.DUPLICATE, f"same normalised text as {POOL[0].id[:12]}")}


def test_a_question_without_a_picture_is_compared_with_those_without(ports: Ports) -> None:
    (rejected,) = fates(ports, [("which is it", ()), ("which is it", ("a",))])
    assert len(rejected) == 1


def test_the_same_content_is_told_as_such(ports: Ports) -> None:
    (rejected,) = fates(ports, [("How many bars?", ("a",))])
    assert rejected["How many bars?"] == (Fate.DUPLICATE, f"same content as {POOL[0].id[:12]}")


def test_drafts_of_one_batch_and_of_an_earlier_one_are_seen(ports: Ports) -> None:
    first, second = fates(
        ports, [("A new one?", ("a",)), ("a NEW one", ("a",))], [("A, new one!", ("a",)), ("A new one?", ("c",))]
    )
    assert list(first) == ["a NEW one"]
    assert list(second) == ["A, new one!"]


def test_a_fault_comes_first(ports: Ports) -> None:
    _, _, teacher = fake_ports(ports.work_dir)
    screen = Screen(Work("fake", 1, fake_settings(), teacher), set(), ports)
    rejected, passed = screen.check([Draft(POOL[0], 3, "unreadable reply: no JSON")], key="screen")
    assert [(row.fate, row.detail, row.region) for row in rejected] == [(Fate.UNPARSED, "unreadable reply: no JSON", 3)]
    assert passed == []
