"""VisualProbe for lmms-eval: what is shown, asked and scored. It runs in the harness's environment.

The authors score by a judge. Here it is a rule: 1 if the reference's words stand in the response, one after the other;
case, punctuation and articles do not matter, and small numbers may be words. It is stricter than a judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

REPOSITORY = re.compile(r"VisualProbe_(Easy|Medium|Hard)/(.+)")
"""A picture's path begins with the name of its data set."""
ARTICLES = {"a", "an", "the"}
NUMBERS = dict(
    zip(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        map(str, range(11)),
        strict=True,
    )
)


def to_visual(doc: Mapping[str, Any]) -> list[Any]:
    """The pictures, fetched from the hub one by one, or taken from its cache."""
    from huggingface_hub import hf_hub_download
    from PIL import Image

    pictures = []
    for path in doc["images"]:
        found = REPOSITORY.fullmatch(path)
        if found is None:
            raise ValueError(f"VisualProbe: {path!r} does not begin with VisualProbe_Easy/, _Medium/ or _Hard/")
        file = hf_hub_download(f"Mini-o3/VisualProbe_{found[1]}", found[2], repo_type="dataset")
        with Image.open(file) as picture:
            pictures.append(picture.convert("RGB"))
    return pictures


def to_text(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, str] | None = None) -> str:
    """The question, without the token that stands for the picture, and how to answer."""
    question = doc["problem"].replace("<image>", "").strip()
    return f"{question}\nAnswer the question using a single word or phrase."


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """See the module docstring."""
    reference, response = words(doc["solution"]), words(results[0])
    places = range(len(response) - len(reference) + 1)
    found = any(response[at : at + len(reference)] == reference for at in places)
    return {"contains_reference": float(found and bool(reference))}


def words(text: str) -> list[str]:
    """Words and numbers in lower case, without articles, number words as digits."""
    found = re.findall(r"\d+(?:[.,]\d+)*|\w+", text.lower())
    return [NUMBERS.get(word, word) for word in found if word not in ARTICLES]
