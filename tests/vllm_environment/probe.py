"""Runs one vLLM engine for each model folder; run by the Python of the vLLM environment.

    python -I probe.py task.json result.json

    task.json    {"folders": {name: path}, "requests": [{"prompt", "image"}], "max_tokens", "num_samples"}
    result.json  {name: {"start_s", "answers", "logprobs", "num_samples",
                         "scored_with_picture", "scored_with_blank"}}, each list in the order of the requests

It imports nothing of this repository, as that environment lacks its dependencies. The scores are the
log-probabilities of the greedy answer when it is given as part of the prompt, once with the picture and once
with a white one: the way a teacher is asked.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


class Probe:
    """An engine on one folder with the task's prompts and pictures."""

    def __init__(self, folder: str, task: dict[str, Any]) -> None:
        from PIL import Image
        from vllm import LLM

        started = time.monotonic()
        self.llm = LLM(
            model=folder,
            dtype="float32",
            enforce_eager=True,
            max_model_len=512,
            max_num_seqs=16,
            limit_mm_per_prompt={"image": 1},
            distributed_executor_backend="uni",
            seed=0,
        )
        self.start_s = time.monotonic() - started
        self.task = task
        self.pictures = [Image.open(request["image"]).convert("RGB") for request in task["requests"]]
        self.blanks = [Image.new("RGB", picture.size, "white") for picture in self.pictures]
        tokenizer = self.llm.get_tokenizer()
        self.prompts = [tokenizer.encode(request["prompt"], add_special_tokens=False) for request in task["requests"]]

    def run(self) -> dict[str, Any]:
        """Answers, samples and scores all requests."""
        max_tokens = self.task["max_tokens"]
        greedy = self._generate(self.prompts, self.pictures, temperature=0.0, max_tokens=max_tokens, logprobs=0)
        sampled = self._generate(
            self.prompts, self.pictures, temperature=1.0, max_tokens=max_tokens, n=self.task["num_samples"], seed=0
        )
        answers = [list(output.outputs[0].token_ids) for output in greedy]
        return {
            "start_s": self.start_s,
            "answers": answers,
            "logprobs": [
                [entry[token].logprob for entry, token in zip(output.outputs[0].logprobs, ids, strict=True)]
                for output, ids in zip(greedy, answers, strict=True)
            ],
            "num_samples": [len(output.outputs) for output in sampled],
            "scored_with_picture": self._score(answers, self.pictures),
            "scored_with_blank": self._score(answers, self.blanks),
        }

    def _score(self, answers: list[list[int]], images: list[Any]) -> list[list[float]]:
        """Log-probability of each token of each answer, given its prompt and image."""
        texts = [prompt + answer for prompt, answer in zip(self.prompts, answers, strict=True)]
        outputs = self._generate(texts, images, temperature=0.0, max_tokens=1, prompt_logprobs=0)
        scores = []
        for output, answer in zip(outputs, answers, strict=True):
            entries = output.prompt_logprobs[-len(answer) :]
            scores.append([entry[token].logprob for entry, token in zip(entries, answer, strict=True)])
        return scores

    def _generate(self, token_ids: list[list[int]], images: list[Any], **sampling: Any) -> list[Any]:
        from vllm import SamplingParams, TokensPrompt

        requests = [
            TokensPrompt(prompt_token_ids=ids, multi_modal_data={"image": image})
            for ids, image in zip(token_ids, images, strict=True)
        ]
        return self.llm.generate(requests, SamplingParams(**sampling), use_tqdm=False)


def main() -> None:
    """Reads the task, runs each folder, writes the result."""
    task = json.loads(Path(sys.argv[1]).read_text())
    result = {name: Probe(folder, task).run() for name, folder in task["folders"].items()}
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
