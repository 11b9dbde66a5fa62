"""Limits: reached they end a run normally, and a higher one comes to the facts of a run without any."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from loop.campaign import run_campaign
from loop.config import Limits, StageName
from loop.spending import CAMPAIGN, Spending
from loop.summary import OUTPUTS
from store.errors import DiskFull, LimitReached
from store.records import Spent, Status
from store.verify import verify
from tests.fakes import QuietProgress, fake_ports, fake_settings


class Clock:
    """Tells the time that it is set to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(home: Path, limits: Limits = Limits()) -> str:  # noqa: B008 - frozen
    """Run the fake campaign under limits; returns the fingerprint."""
    ports, student, teacher = fake_ports(home, limits=limits)
    with ports.ledger:  # type: ignore[attr-defined]
        run_campaign(fake_settings(limits=limits), ports, student, teacher)
        return verify(ports.ledger, ports.blobs, ports.checkpoints).fingerprint  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint without limits."""
    return run(tmp_path_factory.mktemp("free"))


def test_limits_are_named_like_the_stages() -> None:
    assert get_args(StageName) == (CAMPAIGN, *OUTPUTS)


@pytest.mark.parametrize(
    ("limits", "stage"),
    [
        (Limits(samples={"score": 40}), "score"),
        (Limits(samples={"synthesize": 1}), "synthesize"),
    ],
)
def test_a_reached_limit_stops_the_campaign_and_a_higher_one_comes_to_the_same_facts(
    tmp_path: Path, free: str, limits: Limits, stage: str
) -> None:
    with pytest.raises(LimitReached, match="raise it and run again") as reached:
        run(tmp_path, limits)
    assert reached.value.exit_code == 0
    ports, *_ = fake_ports(tmp_path)
    campaign, last = ports.ledger.campaigns()[0], ports.ledger.rounds("fake")[-1]
    ports.ledger.close()  # type: ignore[attr-defined]
    assert (campaign.status, last.status, last.stages[-1].status) == (Status.STOPPED,) * 3
    assert (last.stages[-1].name, last.stages[-1].error) == (stage, str(reached.value))
    assert run(tmp_path) == free


def test_a_restart_under_the_same_limit_draws_nothing_more(tmp_path: Path) -> None:
    limits = Limits(samples={"campaign": 60})
    spent = []
    for _ in range(2):
        with pytest.raises(LimitReached):
            run(tmp_path, limits)
        ports, *_ = fake_ports(tmp_path)
        with ports.ledger.database.reading() as connection:  # type: ignore[attr-defined]
            spent.append(connection.exec_driver_sql("SELECT count(*) FROM rollouts").scalar_one())
        ports.ledger.close()  # type: ignore[attr-defined]
    assert spent[0] == spent[1] >= 60


def test_time_counts_with_earlier_attempts_and_wherever_there_is_progress() -> None:
    clock = Clock()
    spending = Spending(Limits(seconds={"distill": 10}), clock=clock)
    spending.begin("distill", earlier_s=4.0)
    with spending.watching(QuietProgress()).bar("steps", 10) as advance:
        clock.now += 5
        advance(1)
        clock.now += 1
        with pytest.raises(LimitReached, match=r"stage `distill` has spent 10 seconds"):
            advance(1)


def test_what_earlier_runs_spent_counts() -> None:
    spending = Spending(Limits(tokens={"campaign": 100}))
    spending.counts_from(Spent(student_tokens=60, train_tokens=39), 0.0)
    spending.begin("score", 0.0)
    with pytest.raises(LimitReached, match="the campaign has spent 100 tokens"):
        spending.draw(1, 1)


def test_training_tokens_count_when_the_training_has_ended() -> None:
    spending = Spending(Limits(tokens={"campaign": 100}))
    spending.begin("distill", 0.0)
    spending.end(Spent(train_tokens=100))
    with pytest.raises(LimitReached):
        spending.begin("evaluate", 0.0)


def test_no_stage_starts_without_room_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=r"stage `pool` does not start: \d+ MB are free .*free_disk_mb = 1000000000"):
        run(tmp_path, Limits(free_disk_mb=10**9))
    ports, *_ = fake_ports(tmp_path)
    campaign, stage = ports.ledger.campaigns()[0], ports.ledger.rounds("fake")[0].stages[0]
    ports.ledger.close()  # type: ignore[attr-defined]
    assert (campaign.status, stage.status) == (Status.FAILED,) * 2
