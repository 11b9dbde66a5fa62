"""Every family's gold answer is worked out a second time, from the words of the question and the scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from loop.world import vocabulary
from loop.world.questions import FAMILIES, Question, ask, families_of
from loop.world.scenes import KINDS, Scene, new_scene

SAMPLES = 60
DRAWN = [name for name, family in FAMILIES.items() if family.kinds]


def _asked(family: str, num: int) -> list[tuple[Scene, Question]]:
    rng = np.random.default_rng([7, *family.encode()])
    kinds = FAMILIES[family].kinds
    pairs: list[tuple[Scene, Question]] = []
    for index in range(20 * num):
        scene = new_scene("train", kinds[index % len(kinds)], rng)
        question = ask(scene, family, rng)
        if question is not None:
            pairs.append((scene, question))
        if len(pairs) == num:
            return pairs
    raise AssertionError(f"{family} was admitted by {len(pairs)} of {20 * num} scenes")


def _value(scene: Scene, label: str, series: str = "") -> int:
    (value,) = [m.value for m in scene.marks if m.label == label and series in ("", m.series)]
    return value


def _words(question: Question) -> list[str]:
    return [word for word in question.text.split() if word != "?"]


def _known(scene: Scene, question: Question) -> list[str]:
    labels = {mark.label for mark in scene.marks}
    return [word for word in _words(question)[2:] if word in labels]


def _shape(scene: Scene, shape: str) -> object:
    (mark,) = [mark for mark in scene.marks if mark.shape == shape]
    return mark


def _shapes_in(question: Question) -> list[str]:
    return [word for word in _words(question) if word in vocabulary.SHAPES]


def _compare(scene: Scene, question: Question) -> str:
    return max(_known(scene, question), key=lambda label: _value(scene, label))


def _dearest(scene: Scene, question: Question) -> str:
    return max(scene.marks, key=lambda mark: mark.value).label


def _largest(scene: Scene, question: Question) -> str:
    best = max if "largest" in question.text else min
    return best(scene.marks, key=lambda mark: mark.value).label


def _above(scene: Scene, question: Question) -> str:
    at = int(_words(question)[-1])
    return str(sum(mark.value > at for mark in scene.marks))


def _table_above(scene: Scene, question: Question) -> str:
    series, at = _words(question)[2], int(_words(question)[-1])
    return str(sum(mark.value > at for mark in scene.marks if mark.series == series))


def _difference(scene: Scene, question: Question) -> str:
    first, second = _known(scene, question)
    return str(_value(scene, first) - _value(scene, second))


def _two_step(scene: Scene, question: Question) -> str:
    values = sorted(mark.value for mark in scene.marks)
    return str(values[-1] - values[0])


def _grouped_compare(scene: Scene, question: Question) -> str:
    group = [mark for mark in scene.marks if mark.label == _words(question)[-1]]
    return max(group, key=lambda mark: mark.value).colour


def _dearer(scene: Scene, question: Question) -> str:
    first, second = _known(scene, question)
    return "yes" if _value(scene, first) > _value(scene, second) else "no"


def _table_difference(scene: Scene, question: Question) -> str:
    words = _words(question)
    return str(_value(scene, words[-1], words[2]) - _value(scene, words[-1], words[4]))


def _position(scene: Scene, question: Question) -> str:
    first, second = (_shape(scene, shape) for shape in _shapes_in(question))
    return "yes" if first.col < second.col else "no"  # type: ignore[attr-defined]


def _bigger(scene: Scene, question: Question) -> str:
    def size(shape: str) -> int:
        return vocabulary.SIZES.index(_shape(scene, shape).size)  # type: ignore[attr-defined]

    return max(_shapes_in(question), key=size)


def _more(scene: Scene, question: Question) -> str:
    colours = [word for word in _words(question) if word in vocabulary.COLOURS]
    return max(colours, key=lambda colour: sum(mark.colour == colour for mark in scene.marks))


def _read(scene: Scene, question: Question) -> str:
    labels = [word for word in _words(question) if word in {mark.label for mark in scene.marks}]
    return str(_value(scene, labels[-1]))


def _count(scene: Scene, question: Question) -> str:
    return str(len(scene.marks))


def _present(scene: Scene, question: Question) -> str:
    return "yes" if _words(question)[1] in {mark.label for mark in scene.marks} else "no"


ORACLES: dict[str, Callable[[Scene, Question], str]] = {
    "chart_read": _read,
    "chart_colour": lambda s, q: next(m.colour for m in s.marks if m.label == _words(q)[-1]),
    "chart_count": _count,
    "chart_present": _present,
    "chart_compare": _compare,
    "chart_largest": _largest,
    "chart_above": _above,
    "chart_difference": _difference,
    "chart_two_step": _two_step,
    "grouped_read": lambda s, q: str(_value(s, _words(q)[-1], _words(q)[3])),
    "grouped_compare": _grouped_compare,
    "form_field": _read,
    "form_count": _count,
    "doc_present": _present,
    "receipt_price": _read,
    "receipt_compare": _dearer,
    "receipt_total": lambda s, q: str(sum(m.value for m in s.marks)),
    "receipt_dearest": _dearest,
    "table_read": lambda s, q: str(_value(s, _words(q)[-1], _words(q)[2])),
    "table_above": _table_above,
    "table_difference": _table_difference,
    "shape_count": _count,
    "shape_present": lambda s, q: "yes" if _shapes_in(q)[0] in {m.shape for m in s.marks} else "no",
    "shape_colour": lambda s, q: _shape(s, _shapes_in(q)[0]).colour,  # type: ignore[attr-defined]
    "colour_count": lambda s, q: str(sum(m.colour == _words(q)[-1] for m in s.marks)),
    "shape_position": _position,
    "shape_size": _bigger,
    "colour_compare": _more,
}


def test_families_are_enough_in_every_domain() -> None:
    assert len(FAMILIES) >= 12
    for domain in ("chart", "document", "perception"):
        families = [family for family in FAMILIES.values() if family.domain == domain]
        assert len(families) >= 3
        assert sum(not family.easy for family in families) >= 2
        assert any(family.easy for family in families)


def test_every_drawn_family_has_an_oracle() -> None:
    assert set(ORACLES) == set(DRAWN)


@pytest.mark.parametrize("family", DRAWN)
def test_gold_answer_is_what_the_scene_says(family: str) -> None:
    for scene, question in _asked(family, SAMPLES):
        assert question.answer == ORACLES[family](scene, question), (scene, question)


@pytest.mark.parametrize("family", DRAWN)
def test_words_are_in_the_vocabulary_and_answers_vary(family: str) -> None:
    known = {*vocabulary.world_words(), "?"}
    pairs = _asked(family, SAMPLES)
    for _, question in pairs:
        assert set(f"{question.text} {question.response}".split()) <= known
        assert question.response.endswith(f"Answer: {question.answer}")
        assert len(question.answer.split()) == 1
    assert len({question.answer for _, question in pairs}) >= 2


@pytest.mark.parametrize("family", DRAWN)
def test_questions_do_not_give_their_answer_away(family: str) -> None:
    """No constant answer reaches what the student is meant to lack."""
    answers = [question.answer for _, question in _asked(family, SAMPLES)]
    assert max(answers.count(answer) for answer in set(answers)) / len(answers) <= 0.75


def test_a_scene_of_another_kind_admits_nothing() -> None:
    rng = np.random.default_rng(0)
    scene = new_scene("train", "table", rng)
    assert ask(scene, "receipt_total", rng) is None
    assert "receipt_total" not in families_of(scene)


def test_a_tie_is_never_asked_about() -> None:
    rng = np.random.default_rng(0)
    scene = new_scene("train", "bar", rng)
    flat = replace(scene, marks=tuple(replace(mark, value=5) for mark in scene.marks))
    assert all(ask(flat, family, rng) is None for family in ("chart_compare", "chart_largest", "chart_difference"))


def test_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown family 'nonsense'"):
        ask(new_scene("train", "bar", np.random.default_rng(0)), "nonsense", np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_asked_something(kind: str) -> None:
    assert families_of(new_scene("pool", kind, np.random.default_rng(0)))
