"""What other processes read of running work, and that nothing depends on it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from loop.progress import LineProgress
from loop.work_done import EVERY_S, PublishedProgress, read_work_done


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def published(file: Path, clock: Clock) -> PublishedProgress:
    return PublishedProgress(LineProgress(io.StringIO()), file, clock=clock)


def test_the_newest_state_is_read_and_gone_when_the_work_ends(tmp_path: Path) -> None:
    file, clock = tmp_path / "progress" / "mine.json", Clock()
    with published(file, clock).bar("student samples", 40) as advance:
        assert read_work_done(file) is None
        clock.now += 5.0
        advance(10)
        told = read_work_done(file)
        assert told is not None
        assert (told.label, told.done, told.total, told.rate, told.left_s) == ("student samples", 10, 40, 2.0, 15.0)
        assert told.at.endswith("+00:00")
        clock.now += EVERY_S / 2
        advance(1)  # too soon to be worth a file
        assert read_work_done(file) == told
        clock.now += EVERY_S / 2
        advance(1)
        assert (told := read_work_done(file)) is not None
        assert told.done == 12
    assert list(file.parent.iterdir()) == []


def test_an_interrupted_bar_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"

    clock = Clock()

    def interrupted() -> None:
        with published(file, clock).bar("pool", None) as advance:
            clock.now += EVERY_S
            advance(3)
            assert file.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not file.exists()


def test_work_without_an_end_has_no_time_left(tmp_path: Path) -> None:
    file, clock = tmp_path / "mine.json", Clock()
    with published(file, clock).bar("pool", None) as advance:
        clock.now += 2.0
        advance(3)
        told = read_work_done(file)
    assert told is not None
    assert (told.total, told.left_s) == (None, None)
    assert told.line() == "pool 3 1.5/s"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"label": 3}'])
def test_a_torn_file_tells_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(text, encoding="utf-8")
    assert read_work_done(file) is None


def test_work_goes_on_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a folder", encoding="utf-8")
    clock = Clock()
    with published(tmp_path / "file" / "mine.json", clock).bar("pool", 3) as advance:
        clock.now += EVERY_S
        advance(3)
