"""VisualProbe's task files: what is asked, and what counts as right."""

from __future__ import annotations

import pytest

from scripts.lmms_eval_tasks.visual_probe_utils import process_results, to_text, to_visual

DOC = {"images": ["VisualProbe_Hard/7.jpg"], "problem": "<image>\nWhat is the sign's colour?", "solution": "dark blue"}


@pytest.mark.parametrize(
    ("reference", "response", "score"),
    [
        ("dark blue", "Dark blue.", 1.0),
        ("dark blue", "The sign is dark blue!", 1.0),
        ("dark blue", "blue", 0.0),
        ("dark blue", "dark, light blue", 0.0),
        ("red", "reddish", 0.0),
        ("The 3 dogs", "three dogs", 1.0),
        ("3.5", "3.5 km", 1.0),
        ("5", "3.5", 0.0),
        ("12", "1,200", 0.0),
        ("café", "CAFÉ", 1.0),
        ("yes", "", 0.0),
        ("", "anything", 0.0),
    ],
)
def test_a_response_is_right_if_it_holds_the_reference(reference: str, response: str, score: float) -> None:
    assert process_results(DOC | {"solution": reference}, [response]) == {"contains_reference": score}


def test_the_question_comes_without_the_image_token() -> None:
    assert to_text(DOC) == "What is the sign's colour?\nAnswer the question using a single word or phrase."


def test_a_picture_of_another_place_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'elsewhere/7\.jpg' does not begin with VisualProbe_Easy/"):
        to_visual(DOC | {"images": ["elsewhere/7.jpg"]})
