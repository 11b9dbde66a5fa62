"""Accuracy by family of a saved model: a from_pretrained folder in, a table over held-out suites out.

The folder is loaded as any hub model is, and each item goes through its processor and chat template, greedily.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loop.world.questions import FAMILIES
from loop.world.sets import DOMAINS, Item, suite_families, suite_items

EVAL_SEED = 909
BATCH = 64
MAX_NEW_TOKENS = 32


@dataclass(frozen=True)
class Table:
    """Accuracies of one model."""

    by_suite_family: dict[tuple[str, str], float]

    def suite(self, name: str) -> float:
        """Unweighted mean over the families of a suite."""
        return float(np.mean([share for (suite, _), share in self.by_suite_family.items() if suite == name]))

    def mean(self) -> float:
        """Unweighted mean over the suites chart, document and perception."""
        return float(np.mean([self.suite(domain) for domain in DOMAINS]))


def measure(folder: Path, per_family: int, suites: Sequence[str]) -> Table:
    """Answers every suite with the model in the folder."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    shares: dict[tuple[str, str], float] = {}
    for suite in suites:
        num = per_family * (5 if suite == "easy_vqa" else len(suite_families(suite)))
        tally: dict[str, list[bool]] = defaultdict(list)
        items = list(suite_items(suite, num, np.random.default_rng(EVAL_SEED)))
        for item, text in zip(items, respond(model, processor, items), strict=True):
            tally[item.question.family].append(final_answer(text) == item.question.answer)
        shares |= {(suite, family): float(np.mean(rights)) for family, rights in tally.items()}
    return Table(shares)


def respond(model: object, processor: object, items: Sequence[Item]) -> list[str]:
    """Greedy responses, in the order of the items."""
    import torch

    texts: list[str] = []
    for start in range(0, len(items), BATCH):
        some = items[start : start + BATCH]
        prompts = [_prompt(processor, item.question.text) for item in some]
        inputs = processor(  # type: ignore[operator]
            text=prompts, images=[[item.image] for item in some], padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            tokens = model.generate(  # type: ignore[attr-defined]
                **inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS
            )
        new = tokens[:, inputs["input_ids"].shape[1] :]
        texts += processor.batch_decode(new, skip_special_tokens=True)  # type: ignore[attr-defined]
    return texts


def _prompt(processor: object, text: str) -> str:
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    prompt: str = processor.apply_chat_template(  # type: ignore[attr-defined]
        messages, add_generation_prompt=True
    )
    return prompt


def final_answer(text: str) -> str:
    """What follows the last ``Answer:``, or nothing."""
    found = re.findall(r"Answer:\s*(.+)", text)
    return found[-1].strip() if found else ""


def as_text(tables: dict[str, Table]) -> str:
    """A Markdown table: one line per suite and family, one column per model, then the means."""
    names = list(tables)
    keys = list(dict.fromkeys(key for table in tables.values() for key in table.by_suite_family))
    lines = [f"| suite | family | easy | {' | '.join(names)} |", "|---|---|---|" + "---|" * len(names)]
    for suite, family in keys:
        cells = " | ".join(f"{tables[name].by_suite_family[suite, family]:.3f}" for name in names)
        lines.append(f"| {suite} | {family} | {'easy' if FAMILIES[family].easy else 'hard'} | {cells} |")
    for suite in dict.fromkeys(suite for suite, _ in keys):
        cells = " | ".join(f"{tables[name].suite(suite):.3f}" for name in names)
        lines.append(f"| **{suite}** | mean over families | | {cells} |")
    if {suite for suite, _ in keys} >= set(DOMAINS):
        cells = " | ".join(f"{tables[name].mean():.3f}" for name in names)
        lines.append(f"| **mean** | chart, document, perception | | {cells} |")
    return "\n".join(lines)
