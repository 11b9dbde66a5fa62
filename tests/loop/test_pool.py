"""A campaign's pool: filled before or now, and never with what repeats its held-out questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loop.campaign import run_campaign
from loop.intake import take_in
from loop.pool import fill_pool, usable_prompts
from loop.ports import Ports
from loop.stages import recorded
from loop.work import Work
from store.errors import DeltaloopError
from store.records import Filled, Prompt, Quarantined, Scores, Version
from tests.fakes import fake_ports, fake_settings, make_prompt

HELD_OUT = make_prompt("read", 100_003)
IMPORTED = fake_settings(rounds=1, pool={"name": "fake", "source": "imported"})


@pytest.fixture
def world(tmp_path: Path) -> tuple[Ports, Version, Version]:
    """Fake ports whose source gives nothing: the pool is filled by hand."""
    ports, student, teacher = fake_ports(tmp_path)
    return replace(ports, source=lambda pool: iter(())), student, teacher


def fill(ports: Ports, *prompts: Prompt) -> None:
    take_in(iter(prompts), "fake", ports.ledger, lambda done: None)


def test_taking_in_counts_and_a_second_time_adds_nothing(world: tuple[Ports, Version, Version]) -> None:
    ledger = world[0].ledger
    entries: list[Prompt | Quarantined] = [make_prompt("read", number % 30) for number in range(40)]
    entries += [Quarantined(f"x:{n}", "", "null image: `image` is null") for n in range(2)]
    entries += [Quarantined("x:9", "", "empty question")]
    advanced: list[int] = []
    taken = take_in(iter(entries), "p", ledger, advanced.append)
    assert (taken.added, taken.duplicate) == (30, 10)
    assert taken.quarantined == {"empty question": 1, "null image": 2}
    assert sum(advanced) == len(entries)
    again = take_in(iter(entries), "p", ledger, advanced.append)
    assert (again.added, again.duplicate, again.quarantined) == (0, 40, taken.quarantined)
    assert len(ledger.pool("p")) == 30
    assert len(ledger.quarantined("p")) == 3


def test_a_pool_that_was_imported_is_used_without_its_held_out_questions(world: tuple[Ports, Version, Version]) -> None:
    ports, student, teacher = world
    fill(ports, *(make_prompt(("read", "compare")[number % 2], number) for number in range(40)), HELD_OUT)
    run_campaign(IMPORTED, ports, student, teacher)
    filled = recorded(ports.ledger, ports.blobs, "fake", 0, "pool", Filled)
    scores = recorded(ports.ledger, ports.blobs, "fake", 1, "score", Scores)
    assert filled is not None
    assert scores is not None
    assert (filled.prompts, filled.quarantined) == (40, 1)
    assert HELD_OUT.id not in {score.prompt_id for score in scores.scores}
    (row,) = ports.ledger.quarantined("fake")
    assert row.reason.startswith(f"contaminated: held out as {HELD_OUT.id[:12]}")
    assert row.question == HELD_OUT.question


def test_a_held_out_question_that_joins_the_pool_later_is_not_scored_either(
    world: tuple[Ports, Version, Version],
) -> None:
    ports, _, teacher = world
    fill(ports, *(make_prompt(("read", "compare")[number % 2], number) for number in range(40)))
    fill_pool(Work("fake", 0, IMPORTED, teacher), ports)
    fill(ports, HELD_OUT, make_prompt("count", 7))
    usable = {prompt.id for prompt in usable_prompts(IMPORTED, ports)}
    assert HELD_OUT.id not in usable
    assert make_prompt("count", 7).id in usable
    assert HELD_OUT in ports.ledger.pool("fake"), "another campaign may hold out other questions"


def test_a_pool_that_nobody_filled_says_how_to_fill_it(world: tuple[Ports, Version, Version]) -> None:
    with pytest.raises(DeltaloopError, match="deltaloop import SOURCE --pool fake"):
        fill_pool(Work("fake", 0, IMPORTED, world[2]), world[0])
