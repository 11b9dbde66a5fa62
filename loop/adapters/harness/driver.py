"""Runs one task of lmms-eval; run by the Python of the environment that scripts/setup_lmms_eval.sh makes.

    python driver.py job.json      it imports nothing of this repository

    job.json            {"task", "include", "limit", "folder"}
    standard output     {"ask": requests, "answers": path}   a JSON object a line; whoever reads writes `answers`, then
    standard input      one line                             says so
    standard output     {"done": path} or {"refused": reason, "kind", "near"} at the end
    standard error      what the harness has to say

A model class of ours hands all requests over at once, so that the engines here batch them as they like, always in the
same way, and a request that fails is an error rather than a wrong answer. What a task asks, how a response is read and
what it scores is the harness's own code, called as its command line calls it.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import io
import json
import math
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

REASONING_TAGS = '[["<think>", "</think>"], ["<analysis>", "</analysis>"]]'
"""The default of lmms-eval's own command line."""
OFFLINE_ERRORS = {
    "OfflineModeIsEnabled",
    "LocalEntryNotFoundError",
    "ConnectionError",
    "ConnectError",
    "MaxRetryError",
    "DatasetNotFoundError",
    "HfHubHTTPError",
}
MAX_NEAR = 5


class Refused(Exception):
    """The task cannot be run, for a reason that a person can act on."""

    def __init__(self, reason: str, kind: str = "task", near: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.told = {"refused": reason, "kind": kind, "near": list(near)}


class Channel:
    """The line to whoever started this process. What the harness prints goes to standard error instead."""

    def __init__(self, folder: Path) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._in: TextIO = sys.stdin
        self._folder = folder
        self._num_asked = 0
        os.dup2(2, 1)

    def say(self, message: Mapping[str, Any]) -> None:
        """One message."""
        print(json.dumps(message), file=self._out, flush=True)

    def ask(self, requests: Iterable[Mapping[str, Any]]) -> list[str]:
        """The responses to requests, in their order."""
        asked, answers = (self._folder / f"{kind}-{self._num_asked}.jsonl" for kind in ("requests", "answers"))
        self._num_asked += 1
        asked.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
        self.say({"ask": str(asked), "answers": str(answers)})
        if not self._in.readline():
            raise Refused("nobody answers any more", "gone")
        return [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Run the job that the first argument names."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(job["folder"])
    channel = Channel(folder)
    try:
        done = folder / "result.json"
        done.write_text(json.dumps(run(job, channel)), encoding="utf-8")
        channel.say({"done": str(done)})
    except Refused as refused:
        channel.say(refused.told)
    except Exception as error:
        traceback.print_exc()
        channel.say({"refused": f"{type(error).__name__}: {error}", "kind": _kind(error), "near": []})


def run(job: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Evaluate a task, and tell what came of it: scores, and each question with its response."""
    name = job["task"]
    manager = _manager(name, job["include"])
    from lmms_eval import evaluator  # after the look-up: a mistyped name should not take long

    results = evaluator.simple_evaluate(
        model=_model(channel, Path(job["folder"])),
        tasks=[name],
        task_manager=manager,
        limit=job["limit"],
        log_samples=True,
        # As the harness's command line has them; some tasks read them.
        cli_args=argparse.Namespace(
            reasoning_tags=REASONING_TAGS, process_with_media=False, agentic_trace_mode="basic", output_path=None
        ),
    )
    leaves = {leaf: rows for leaf, rows in results["samples"].items() if rows}
    if not leaves:
        raise Refused(f"task {name!r} has no question")
    questions = [_question(leaf, row, whole=len(leaves) == 1) for leaf, rows in leaves.items() for row in _once(rows)]
    return {
        "harness_version": version("lmms-eval"),
        "scores": list(_scores(name, results["results"], list(leaves))),
        "metric": _metric_of_all(questions),
        "questions": questions,
    }


def _manager(name: str, include: str | None) -> Any:
    """The harness's index of tasks. To look through all of its own takes long: a task among ours does without them."""
    from lmms_eval.tasks import TaskManager

    if include is not None:
        ours = TaskManager("WARNING", include_path=include, include_defaults=False)
        if name in ours.all_tasks:
            return ours
    every = TaskManager("WARNING", include_path=include)
    if name not in every.all_tasks:
        near = difflib.get_close_matches(name, every.all_tasks, MAX_NEAR, cutoff=0.5)
        raise Refused(f"lmms-eval {version('lmms-eval')} has no task {name!r}", "unknown", near)
    return every


def _model(channel: Channel, folder: Path) -> Any:
    from lmms_eval.api.model import lmms

    class Elsewhere(lmms):  # type: ignore[misc, unused-ignore]
        """A model that answers through a channel."""

        is_simple = False  # asked by chat messages

        def generate_until(self, requests: list[Any]) -> list[str]:
            return channel.ask(_request(self.task_dict, request.args, folder) for request in requests)

        def loglikelihood(self, requests: list[Any]) -> Any:
            raise Refused(f"task {requests[0].task_name!r} asks for likelihoods, and students only answer")

        def generate_until_multi_round(self, requests: list[Any]) -> Any:
            raise Refused(f"task {requests[0].task_name!r} asks in several rounds, and a prompt here is one")

    return Elsewhere()


def _request(docs: Any, arguments: Sequence[Any], folder: Path) -> dict[str, Any]:
    """One request as a prompt: its text, and its images as files by their digest."""
    _, to_messages, generation, doc_id, task, split = arguments
    texts: list[str] = []
    images: list[str] = []
    for message in to_messages(docs[task][split][doc_id]):
        if message["role"] == "assistant":
            raise Refused(f"task {task!r} shows examples with answers, and a prompt here has none")
        parts = message["content"]
        for part in [{"type": "text", "text": parts}] if isinstance(parts, str) else parts:
            if part["type"] == "text":
                texts.append(part["text"])
            elif part["type"] == "image":
                images.append(_image_file(part["url"], folder))
            else:
                raise Refused(f"task {task!r} asks with {part['type']}, and a prompt here holds text and images")
    return {"text": "\n".join(texts), "images": images, "max_tokens": generation.get("max_new_tokens")}


def _image_file(image: Any, folder: Path) -> str:
    from PIL import Image

    if isinstance(image, str):
        with Image.open(image) as opened:
            return _image_file(opened.convert("RGB"), folder)
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "PNG")
    path = folder / f"{hashlib.sha256(stream.getvalue()).hexdigest()}.png"
    path.write_bytes(stream.getvalue())
    return str(path)


def _once(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Each question once: a task with several filters logs it for each of them."""
    seen: set[Any] = set()
    for row in rows:
        if row["doc_id"] not in seen:
            seen.add(row["doc_id"])
            yield row


def _question(leaf: str, row: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    response = row["filtered_resps"]
    while isinstance(response, list) and response:
        response = response[0]
    return {
        "id": str(row["doc_id"]) if whole else f"{leaf}/{row['doc_id']}",
        "target": str(row["target"]),
        "response": str(response),
        "scores": dict(_question_scores(row)),
    }


LOGGED = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "token_counts", "doc_hash", "input_media"}
"""What lmms-eval logs of a question beside its metrics."""


def _question_scores(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The metrics that are a number, or hold one as `score`, the name that lmms-eval itself looks for."""
    for metric, value in row.items():
        if metric in LOGGED:
            continue
        if isinstance(value, Mapping):
            value = value.get("score")
        number = _number(value)
        if number is not None:
            yield metric, number


def _scores(name: str, results: Mapping[str, Mapping[str, Any]], leaves: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The metrics of the task, or of a group and its tasks, in the harness's order."""
    for task in dict.fromkeys([name, *leaves]):
        for key, value in results.get(task, {}).items():
            metric, found, kind = key.partition(",")
            number = _number(value)
            if not found or number is None or "_stderr" in metric:
                continue
            title = metric if kind == "none" else key
            tried = (results[task].get(f"{metric}_{way},{kind}") for way in ("stderr", "stderr_clt"))
            stderr = next((error for error in map(_number, tried) if error is not None), None)
            yield {"metric": title if task == name else f"{task}/{title}", "value": number, "stderr": stderr}


def _metric_of_all(questions: Sequence[Mapping[str, Any]]) -> str | None:
    """The first metric that scores every question, if there is one."""
    first: Mapping[str, float] = questions[0]["scores"]
    return next((metric for metric in first if all(metric in question["scores"] for question in questions)), None)


def _number(value: Any) -> float | None:
    """A finite number, whatever type it comes in; None for anything else."""
    if isinstance(value, str) or value is None:
        return None
    with contextlib.suppress(TypeError, ValueError):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def _kind(error: BaseException | None) -> str:
    """`hub` if something in the chain of causes says that the hub was not reached."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        attempt = getattr(error, "last_attempt", None)  # tenacity's RetryError keeps what failed
        inner = attempt.exception() if attempt is not None else None
        if OFFLINE_ERRORS & {kind.__name__ for kind in type(error).__mro__}:
            return "hub"
        error = inner or error.__cause__ or error.__context__
    return "crash"


if __name__ == "__main__":
    main()
