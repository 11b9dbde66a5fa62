from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loop.adapters.campaign_figures import accuracy_figure, delta_figure, region_figure
from loop.adapters.figures import RoundReport, accuracy_over_rounds, delta_histogram, region_map
from loop.summary import reader
from store.records import Posterior, Region, Score
from tests.loop.campaign_example import ExampleLedger, outputs, report, score

ROOT = Path(__file__).parents[3]


def _scores(deltas: Sequence[float]) -> list[Score]:
    return [score(f"p{place}", delta) for place, delta in enumerate(deltas)]


def _map(deltas: Sequence[float], *, skills: tuple[str, ...] = ("compare",), seed: int = 0) -> bytes:
    vectors = np.random.default_rng(seed).normal(size=(len(deltas), 5)).astype(np.float32)
    labels = np.arange(len(deltas)) % 2
    regions = [Region(index, 2, Posterior(0.5, 0.1, 2.0), skills, 3, ()) for index in range(3)]
    return region_map(vectors, np.array(deltas, dtype=np.float64), labels, regions)


def _decoded(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def test_figures_are_png_of_readme_width_and_not_blank():
    candidate = RoundReport(1, report("v", [1, 0], [1, 1], [0, 0]), promoted=True)
    baseline, teacher = report("s", [0, 0], [1, 0], [0, 0]), report("t", [1, 1], [1, 1], [1, 1])
    for png in (
        delta_histogram({1: _scores([0, 0.5, 1.0])}),
        _map([0.0, 0.5, 1.0, 2.0]),
        accuracy_over_rounds([candidate], baseline, teacher),
    ):
        image = _decoded(png)
        assert (image.format, image.width) == ("PNG", 800)
        assert len(set(image.convert("L").getdata())) > 20


def test_the_same_data_gives_the_same_bytes_and_no_time_in_them():
    png = delta_histogram({1: _scores([0, 0.5, 1.0])})
    assert png == delta_histogram({1: _scores([0, 0.5, 1.0])})
    assert _map([0.0, 1.0]) == _map([0.0, 1.0])
    assert not re.search(rb"Software|tIME|Creation", png)


def test_other_data_gives_another_picture():
    assert delta_histogram({1: _scores([0, 1.0])}) != delta_histogram({1: _scores([0, 0.5, 1.0])})
    assert _map([0.0, 1.0, 2.0]) != _map([2.0, 1.0, 0.0])
    assert _map([0.0, 1.0], skills=("count",)) != _map([0.0, 1.0], skills=("compare",))
    low, high = report("v", [0, 0], [0, 0], [0, 0]), report("v", [1, 1], [1, 1], [1, 1])
    kept, promoted = ([RoundReport(1, low, flag)] for flag in (False, True))
    assert accuracy_over_rounds(kept, None, None) != accuracy_over_rounds(promoted, None, None)
    assert accuracy_over_rounds(kept, None, None) != accuracy_over_rounds([RoundReport(1, high, False)], None, None)
    assert accuracy_over_rounds(kept, None, None) != accuracy_over_rounds(kept, None, high)


@pytest.mark.parametrize("deltas", [[0.0], [0.0, 0.0, 0.0], [3.0]])
def test_thin_data_is_drawn_too(deltas: list[float]):
    assert _decoded(_map(deltas)).width == 800
    assert _decoded(delta_histogram({1: _scores(deltas)})).width == 800


def test_an_empty_map_is_refused():
    with pytest.raises(ValueError, match="at least one prompt"):
        _map([])


def test_many_rounds_still_fit():
    rounds = {index: _scores([0, index / 10]) for index in range(1, 30)}
    assert _decoded(delta_histogram(rounds)).width == 800


def test_a_map_does_not_flip_with_the_sign_of_a_component():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(20, 6)).astype(np.float32)
    deltas, labels = rng.random(20), np.zeros(20, dtype=np.int64)
    shuffled = vectors[:, [0, 1, 2, 3, 4, 5]] + np.float32(1e-7)
    assert np.array_equal(
        np.asarray(_decoded(region_map(vectors, deltas, labels, []))),
        np.asarray(_decoded(region_map(shuffled, deltas, labels, []))),
    )


def test_campaign_figures_come_when_their_stages_have_ended():
    ledger = ExampleLedger()
    read = reader(ledger)
    ledger.begin(1)
    assert delta_figure(ledger.rounds("example"), read) is None
    assert accuracy_figure(ledger.rounds("example"), read) is None
    assert region_figure(ledger.rows[1], ledger, read) is None
    for stage, output in outputs(1).items():
        ledger.complete(1, stage, output)
    drawn = [
        delta_figure(ledger.rounds("example"), read),
        accuracy_figure(ledger.rounds("example"), read),
        region_figure(ledger.rows[1], ledger, read),
    ]
    assert all(png is not None and _decoded(png).width == 800 for png in drawn)
    assert len(set(drawn)) == 3


def test_drawing_leaves_the_global_state_of_matplotlib_alone():
    code = "import sys, loop.adapters.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
