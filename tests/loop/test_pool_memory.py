"""A pool that does not fit into memory is refused before it is loaded; `plan` and `doctor` tell the same number."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from loop import pool_memory
from loop.bootstrap import make_ports, open_home
from loop.campaign import run_campaign
from loop.config import CampaignSettings, Limits, load_settings
from loop.doctor import examine
from loop.pool_memory import MB, Pool, check_fits, dimension_of, fit_line, held_pool, machine_bytes, samples_of
from store.errors import PoolTooLarge
from store.records import Prompt, Status
from store.verify import verify
from tests.conftest import SMOKE
from tests.fakes import QuietProgress, fake_ports, fake_settings

SMALL = {"rounds": 1, "pool": {"name": "fake", "size": 300}}


def run(home: Path, memory_mb: int) -> str:
    """Run the fake campaign under a bound; returns the fingerprint."""
    ports, student, teacher = fake_ports(home)
    settings = fake_settings(**SMALL, limits={"memory_mb": memory_mb})
    ports = replace(ports, check_pool=partial(check_fits, settings, ports.ledger, ports.embedder.name))
    with ports.ledger:  # type: ignore[attr-defined]
        run_campaign(settings, ports, student, teacher)
        return verify(ports.ledger, ports.blobs, ports.checkpoints).fingerprint  # type: ignore[arg-type]


def test_a_pool_that_does_not_fit_is_refused_and_a_higher_bound_comes_to_the_facts_of_none(tmp_path: Path) -> None:
    with pytest.raises(
        PoolTooLarge, match=r"`fake` does not fit into memory: 300 prompts take .* .limits.memory_mb = 1.;"
    ):
        run(tmp_path / "bound", 1)
    ports, *_ = fake_ports(tmp_path / "bound")
    stage = ports.ledger.rounds("fake")[0].stages[0]
    assert (stage.name, stage.status, len(ports.ledger.pool("fake"))) == ("pool", Status.FAILED, 300)
    ports.ledger.close()  # type: ignore[attr-defined]
    assert run(tmp_path / "bound", 100) == run(tmp_path / "free", 0)


@pytest.fixture
def settings() -> CampaignSettings:
    return load_settings(SMOKE, ["limits.memory_mb=1"])


def test_a_run_refuses_and_the_doctor_tells_the_same_number(tmp_path: Path, settings: CampaignSettings) -> None:
    place = open_home(tmp_path)
    place.ledger.add_prompts([Prompt.make(f"question {number}") for number in range(300)], pool=settings.pool.name)
    line = fit_line(held_pool(settings, place.ledger), settings.limits)
    with pytest.raises(PoolTooLarge) as refused:
        make_ports(place, settings, QuietProgress())
    assert line in str(refused.value)
    found = next(one for one in examine(settings, tmp_path, None) if one.what == "memory for the pool")
    assert (found.found, found.missing) == (line, True)
    assert found.remedy in str(refused.value)


def test_what_is_foreseen_counts_vectors_and_samples(tmp_path: Path, settings: CampaignSettings) -> None:
    assert dimension_of(settings) == 192
    small = Pool(1000, 0, dimension_of(settings), samples_of(settings))
    assert small.num_bytes < replace(small, samples=2 * small.samples).num_bytes
    assert replace(small, prompts=2000).num_bytes == 2 * small.num_bytes
    with open_home(tmp_path).ledger as ledger:
        pool = settings.pool.name
        ledger.add_prompts([Prompt.make("ab", attributes={"c": "d"})], pool=pool)
        assert ledger.pool_size(pool) == (1, 2 + len('{"c": "d"}'))
        assert ledger.pool_size("another") == (0, 0)
        assert ledger.dimension("own") is None


def test_a_container_has_what_it_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in (("max\n", None), (f"{7 * MB}\n", 7 * MB)):
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr(pool_memory, "CGROUP_LIMITS", (tmp_path / "memory.max", tmp_path / "absent"))
        assert machine_bytes() == (expected or machine_bytes())
    assert pool_memory.allowed_bytes(Limits()) == 7 * MB
    assert pool_memory.allowed_bytes(Limits(memory_mb=3)) == 3 * MB
