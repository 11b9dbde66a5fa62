"""The embedded pair answers in vLLM what it answers in transformers, and it looks at the picture.

`probe.py` runs in `.venv-vllm` (made by ``make test-tools``), because vLLM pins what the main environment does
not. Both sides compute in float32, so that equal tokens are a fair demand.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
VLLM_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
FOLDERS = {name: ROOT / "loop" / "embedded" / name for name in ("teacher", "student")}
MAX_TOKENS = 24
NUM_SAMPLES = 8
TOLERANCE = 2e-3
"""Log-probabilities of two float32 implementations agree to about 1e-4."""
NOISE = 1e-4
"""Two scorings of one answer by one engine differ by less."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="needs the vLLM environment: make test-tools"),
    pytest.mark.skipif(
        not all((folder / "model.safetensors").exists() for folder in FOLDERS.values()),
        reason="needs the weights of the embedded pair: scripts/train_embedded_pair.py writes them",
    ),
]


@dataclass(frozen=True)
class Asked:
    """One prompt with its picture, in memory and on disk."""

    text: str
    picture: Any
    file: Path


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Asked]:
    """One question about one scene of each kind."""
    from loop.world.questions import ask, families_of
    from loop.world.scenes import KINDS, draw, new_scene

    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    items = []
    for kind in KINDS:
        scene = new_scene("held_out", kind, rng)
        questions = (ask(scene, family, rng) for family in families_of(scene))
        question = next(question for question in questions if question is not None)
        file = folder / f"{kind}.png"
        picture = draw(scene)
        picture.save(file)
        items.append(Asked(question.text, picture, file))
    return items


@pytest.fixture(scope="module")
def prompts(asked: list[Asked]) -> list[str]:
    """The questions in the chat template that both folders share."""
    from transformers import AutoProcessor

    rendered = [
        [
            AutoProcessor.from_pretrained(folder).apply_chat_template(
                [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": item.text}]}],
                add_generation_prompt=True,
            )
            for item in asked
        ]
        for folder in FOLDERS.values()
    ]
    assert rendered[0] == rendered[1]
    return rendered[0]


@pytest.fixture(scope="module")
def vllm_results(asked: list[Asked], prompts: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `probe.py` reports, by folder name."""
    folder = tmp_path_factory.mktemp("probe")
    task = {
        "folders": {name: str(path) for name, path in FOLDERS.items()},
        "requests": [{"prompt": prompt, "image": str(item.file)} for prompt, item in zip(prompts, asked, strict=True)],
        "max_tokens": MAX_TOKENS,
        "num_samples": NUM_SAMPLES,
    }
    (folder / "task.json").write_text(json.dumps(task))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process: the engine starts in 4 s, not in 30
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
    }
    probe = Path(__file__).with_name("probe.py")
    command = [VLLM_PYTHON, "-I", probe, folder / "task.json", folder / "result.json"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"the probe failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module", params=list(FOLDERS))
def name(request: pytest.FixtureRequest) -> str:
    """Teacher, then student."""
    return request.param


@pytest.fixture(scope="module")
def reference(name: str, asked: list[Asked], prompts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
    """Greedy tokens of transformers with their log-probabilities, up to and with the end token."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(FOLDERS[name])
    model = AutoModelForImageTextToText.from_pretrained(FOLDERS[name], dtype=torch.float32).eval()
    batch = processor(text=prompts, images=[[item.picture] for item in asked], padding=True, return_tensors="pt")
    with torch.inference_mode():
        made = model.generate(
            **batch,
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    log_probs = torch.stack(made.logits, dim=1).log_softmax(-1)  # [request, token, vocabulary]
    end = processor.tokenizer.eos_token_id
    tokens, scores = [], []
    for row, all_ids in enumerate(made.sequences[:, batch["input_ids"].shape[1] :].tolist()):
        ids = all_ids[: all_ids.index(end) + 1] if end in all_ids else all_ids
        tokens.append(ids)
        scores.append([float(log_probs[row, step, token]) for step, token in enumerate(ids)])
    return tokens, scores


def test_greedy_answers_equal_those_of_transformers(name, reference, vllm_results):
    tokens, scores = reference
    assert vllm_results[name]["answers"] == tokens
    for ours, theirs in zip(scores, vllm_results[name]["logprobs"], strict=True):
        np.testing.assert_allclose(theirs, ours, atol=TOLERANCE)


def test_answers_are_given_in_the_agreed_form(name, reference):
    from transformers import AutoProcessor

    tokenizer = AutoProcessor.from_pretrained(FOLDERS[name]).tokenizer
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in reference[0]]
    assert all("Answer:" in text for text in texts), texts


def test_scoring_a_given_answer_equals_generating_it(name, vllm_results):
    result = vllm_results[name]
    for scored, generated in zip(result["scored_with_picture"], result["logprobs"], strict=True):
        np.testing.assert_allclose(scored, generated, atol=TOLERANCE)


def test_eight_samples_come_from_one_request(name, vllm_results):
    assert set(vllm_results[name]["num_samples"]) == {NUM_SAMPLES}


def test_a_blank_picture_changes_the_log_probabilities(name, vllm_results):
    result = vllm_results[name]
    drops = [
        sum(seen) - sum(blank)
        for seen, blank in zip(result["scored_with_picture"], result["scored_with_blank"], strict=True)
    ]
    assert all(abs(drop) > NOISE for drop in drops), drops
    assert np.mean(drops) > 1.0, f"an answer must be likelier with its picture than without: {drops}"
