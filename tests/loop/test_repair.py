"""`verify --repair` gives back what can be derived, bit for bit, and names what cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loop.campaign import run_campaign
from loop.lease import holding
from loop.ports import Ports
from loop.repair import repair
from store.errors import CampaignHeld
from store.index import PoolIndex, index_name
from store.ledger import Ledger
from store.verify import Verification, verify
from tests.fakes import fake_ports, fake_settings

NAME = index_name("fake", "fake")


@pytest.fixture
def ran(tmp_path: Path) -> Iterator[Ports]:
    ports, student, teacher = fake_ports(tmp_path)
    run_campaign(fake_settings(rounds=1), ports, student, teacher)
    vectors = ports.ledger.embeddings("fake", [prompt.id for prompt in ports.ledger.pool("fake")])
    PoolIndex.open(tmp_path / "saved", NAME, vectors).save()
    yield ports
    ports.ledger.close()  # type: ignore[attr-defined]


def repaired(ports: Ports, folder: Path) -> list[str]:
    assert isinstance(ports.ledger, Ledger)
    return repair(ports.ledger, ports.blobs, folder / "saved")  # type: ignore[arg-type]


def verified(ports: Ports, folder: Path) -> Verification:
    return verify(ports.ledger, ports.blobs, ports.checkpoints, folder / "saved")  # type: ignore[arg-type]


def sql(ports: Ports, statement: str) -> None:
    with ports.ledger.database.writing() as connection:  # type: ignore[attr-defined]
        assert connection.exec_driver_sql(statement).rowcount > 0


def test_a_sound_home_is_left_as_it_is(ran: Ports, tmp_path: Path) -> None:
    before = verified(ran, tmp_path)
    assert repaired(ran, tmp_path) == []
    assert verified(ran, tmp_path) == before


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE scores SET delta = delta + 1", "scores of round 1 of `fake`: rebuilt"),
        ("UPDATE scores SET settings = '{'", "scores of round 1 of `fake`: rebuilt"),
        ("DELETE FROM scores WHERE zero_delta", "scores of round 1 of `fake`: rebuilt"),
        ("UPDATE rollouts SET canonical = 'x' WHERE \"index\" = 0", "read again from their responses"),
        ("UPDATE rollouts SET answer = NULL, status = 'no_answer'", "read again from their responses"),
    ],
)
def test_scores_and_answers_are_rebuilt_exactly(ran: Ports, tmp_path: Path, damage: str, told: str) -> None:
    before = verified(ran, tmp_path)
    sql(ran, damage)
    assert any(told in line for line in repaired(ran, tmp_path))
    assert verified(ran, tmp_path) == before


def test_an_index_is_rebuilt_from_the_embeddings(ran: Ports, tmp_path: Path) -> None:
    file = tmp_path / "saved" / f"index-{NAME}.faiss"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert len(verified(ran, tmp_path).problems) == 1
    assert repaired(ran, tmp_path) == [f"index {NAME}: rebuilt from {len(ran.ledger.pool('fake'))} embeddings"]
    assert verified(ran, tmp_path).problems == ()
    assert file.read_bytes() == whole


def test_a_broken_embedding_is_removed_and_computed_again_by_a_run(ran: Ports, tmp_path: Path) -> None:
    sql(ran, "UPDATE embeddings SET vector = x'0000'")
    assert "removed; the next run computes them again" in repaired(ran, tmp_path)[0]
    assert ran.ledger.embeddings("fake", [prompt.id for prompt in ran.ledger.pool("fake")]) == {}


def test_what_cannot_be_derived_is_still_named(ran: Ports, tmp_path: Path) -> None:
    stage = ran.ledger.find_stage("fake", 1, "score")
    assert stage is not None
    assert stage.output is not None
    ran.blobs.path(stage.output).write_bytes(b"torn")  # type: ignore[attr-defined]
    assert "cannot be compared" in repaired(ran, tmp_path)[0]
    assert any(stage.output[2:] in problem for problem in verified(ran, tmp_path).problems)


def test_nothing_is_repaired_while_a_campaign_runs(ran: Ports, tmp_path: Path) -> None:
    with holding(ran.ledger, "fake"), pytest.raises(CampaignHeld, match="stop it first"):
        repaired(ran, tmp_path)
