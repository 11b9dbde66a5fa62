"""Stands in for the driver: what it does is in the name of the task.

arithmetic   asks three questions, the first with a picture, and scores them by exact match
hopeless     the same, but scores no single question     submission   the same, but gives no score at all
crash        says something on standard error, and dies  hang         never ends
orphan       dies, but not its child                     slow end     tells its result, and does not end
gone         asks, and ends before it is answered        unknown, hub, likelihoods   refuse, as the driver does
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

CHILD = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
"""It keeps the line to whoever started its parent open."""
ASKED = ("How much is 1 + 1?", "How much is 2 + 2? <image>", "How much is 1 + 1?")
TARGETS = ("2", "4", "2")
REFUSALS = {
    "unknown": {"refused": "lmms-eval 0.7.3 has no task 'unknown'", "kind": "unknown", "near": ["known", "unkown"]},
    "hub": {"refused": "OfflineModeIsEnabled: no", "kind": "hub", "near": []},
    "likelihoods": {"refused": "task 'likelihoods' asks for likelihoods", "kind": "task", "near": []},
    "broken": {"refused": "KeyError: 'image'", "kind": "crash", "near": []},
}


def write_interpreter(folder: Path) -> Path:
    """A Python, as `run_task` looks for one, that runs this file instead of the driver."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$3"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder, task = Path(job["folder"]), job["task"]
    if task in REFUSALS:
        say(REFUSALS[task])
    elif task == "crash":
        print("first line\n  ^^^^^\nsegmentation fault", file=sys.stderr)
        sys.exit(3)
    elif task == "hang":
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)
    elif task == "orphan":
        subprocess.Popen([sys.executable, "-c", CHILD, str(folder / "pid")])
        sys.exit(4)
    elif task == "slow end":
        say({"done": str(answer(folder, "arithmetic", job["limit"]))})
        time.sleep(600)
    else:
        say({"done": str(answer(folder, task, job["limit"]))})


def answer(folder: Path, task: str, limit: int | None) -> Path:
    Image.new("RGB", (8, 8), "red").save(folder / "red.png")
    requests, answers = folder / "requests-0.jsonl", folder / "answers-0.jsonl"
    rows = [{"text": text, "images": [], "max_tokens": 16} for text in ASKED[:limit]]
    rows[0]["images"] = [str(folder / "red.png")]
    requests.write_text("".join(json.dumps(row) + "\n" for row in rows))
    say({"ask": str(requests), "answers": str(answers)})
    if task == "gone":
        sys.exit(1)
    sys.stdin.readline()
    responses = [json.loads(line) for line in answers.read_text().splitlines()]
    right = [float(response == target) for response, target in zip(responses, TARGETS, strict=False)]
    scores = [{"metric": "right", "value": sum(right) / len(right), "stderr": 0.25}]
    questions = [
        {"id": str(index), "target": target, "response": response, "scores": {"right": value}}
        for index, (target, response, value) in enumerate(zip(TARGETS, responses, right, strict=False))
    ]
    result = folder / "result.json"
    known = {"arithmetic": (scores, "right"), "hopeless": (scores, None), "submission": ([], None)}
    told, metric = known[task]
    result.write_text(
        json.dumps({"harness_version": "0.7.3", "metric": metric, "scores": told, "questions": questions})
    )
    return result


def say(message: object) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
