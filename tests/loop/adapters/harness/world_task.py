"""A task of lmms-eval over questions of the embedded world, made from nothing but this repository.

write_task(folder) -> folder/world_questions.parquet, .yaml and its utils: chart, document and perception in turns

Each question is scored by lmms-eval's own function for its domain: ChartQA's relaxed correctness, ANLS, exact match.
"""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset, Features, Image, Value

from loop.adapters.held_out import EmbeddedHeldOut
from loop.config import Evaluation
from store.blobs import FileBlobs
from store.records import HeldOutQuestion

TASK = "world_questions"
DOMAINS = ("chart", "document", "perception")
YAML = """
task: world_questions
dataset_path: parquet
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_visual: !function world_utils.to_visual
doc_to_text: !function world_utils.to_text
doc_to_target: answer
process_results: !function world_utils.process_results
generation_kwargs:
  max_new_tokens: 8
metric_list:
  - metric: right
    aggregation: mean
    higher_is_better: true
"""

UTILS = """
from lmms_eval.api.metrics import anls, exact_match_fn
from lmms_eval.tasks.chartqa.utils import relaxed_correctness


def to_visual(doc):
    return [doc["image"].convert("RGB")]


def to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]


def process_results(doc, results):
    given, answer = results[0], doc["answer"]
    if doc["domain"] == "chart":
        right = float(relaxed_correctness(given, answer))
    elif doc["domain"] == "document":
        right = anls(references=[answer], predictions=[given])["anls"]
    else:
        right = exact_match_fn(references=[answer], predictions=[given], ignore_case=True)["exact_match"]
    return {"right": right}
"""


def questions_of(blobs: FileBlobs, each: int) -> list[HeldOutQuestion]:
    """So many questions of each domain, domain after domain."""
    held_out = EmbeddedHeldOut(Evaluation(questions=each), blobs)
    return [question for suite in DOMAINS for question in held_out.questions(suite)]


def write_task(folder: Path, blobs: FileBlobs, each: int) -> list[HeldOutQuestion]:
    """Write the task, and return its questions in its order."""
    folder.mkdir(parents=True, exist_ok=True)
    questions = questions_of(blobs, each)
    rows = [
        {
            "image": {"bytes": blobs.get(row.prompt.images[0]), "path": None},
            "question": row.prompt.question,
            "answer": row.references[0],
            "domain": row.prompt.attributes["domain"],
        }
        for row in questions
    ]
    texts = {name: Value("string") for name in ("question", "answer", "domain")}
    data = folder / "world_questions.parquet"
    Dataset.from_list(rows, features=Features({"image": Image(), **texts})).to_parquet(data)
    (folder / "world_questions.yaml").write_text(YAML.format(data=data), encoding="utf-8")
    (folder / "world_utils.py").write_text(UTILS, encoding="utf-8")
    return questions
