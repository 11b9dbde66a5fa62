"""The import benchmark measures what it says, on a small file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from loop.adapters.images import decode
from scripts.bench_import import BAD_EVERY, bench, import_source, write_source


def test_the_benchmark_reports_speed_memory_and_what_was_refused(tmp_path: Path) -> None:
    found = bench(6 * BAD_EVERY, 0, tmp_path)
    assert found["added"] == 6 * BAD_EVERY - 6
    assert found["quarantined"] == {"empty question": 2, "null image": 2, "undecodable image": 2}
    assert min(found["rows_per_s"], found["baseline_rows_per_s"]) > 0
    assert 50 < found["peak_mb"] < 1000


def test_every_row_has_a_picture_of_its_own(tmp_path: Path) -> None:
    from loop.bootstrap import open_home

    write_source(tmp_path / "x.parquet", BAD_EVERY - 1, np.random.default_rng(0))
    import_source(tmp_path / "x.parquet", tmp_path / "home")
    place = open_home(tmp_path / "home")
    images = {image for prompt in place.ledger.pool("bench") for image in prompt.images}
    assert len(images) == BAD_EVERY - 1
    assert decode(place.blobs.get(min(images))).size == (96, 96)
