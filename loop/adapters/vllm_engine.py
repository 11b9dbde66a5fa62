"""vLLM in this process: prompts -> token ids and pictures -> `n` samples in one request, or scores of a response.

    open(version) -> engine of that version: a fresh one, probed (`probing`), before it answers anything
                     where the engine that runs holds what the version's adapter was trained on: that one, and the
                     adapter, probed likewise (`vllm_adapters`)
    sleep = true  -> its memory is given back after each use; on waking it is probed again

Weights are never exchanged inside an engine: reloading has served stale ones for image models.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from loop.adapters.aside import Aside
from loop.adapters.encoding import open_image
from loop.adapters.models import source_folder
from loop.adapters.probing import Probe, make_probe
from loop.adapters.prompt_logprobs import UNSCORED, given_scores, token_scores
from loop.adapters.reading import Reader, load_reader
from loop.adapters.server_wire import CONTEXT_IS_FULL
from loop.adapters.vllm_adapters import Reach, read_adapter
from loop.adapters.vllm_running import Running, start_llm
from loop.engine_settings import VllmEngine
from loop.ports import SamplingJob, TokenScores
from store.errors import ModelUnusable
from store.records import Prompt, Sample, Version, derive_seed

if TYPE_CHECKING:
    from loop.ports import Blobs, Checkpoints

log = logging.getLogger(__name__)

SEEDS = 1 << 62
"""Request seeds are below this: vLLM adds the index of the sample, and keeps 64 bits."""
NEVER = -100.0
"""vLLM's lowest bias: a token with it is not drawn."""


class VllmSamplers:
    """Runs one engine: of the version that was opened last, or of the one that its adapter was trained on."""

    def __init__(
        self,
        engine: VllmEngine,
        blobs: Blobs,
        checkpoints: Checkpoints,
        *,
        dtype: str,
        lora_rank: int = 0,
        start: Callable[..., tuple[Any, Reach]] = start_llm,
    ) -> None:
        """Versions may come with adapters of up to `lora_rank`. `start` makes an engine of a folder."""
        self._engine = engine
        self._blobs = Aside(blobs)
        self._checkpoints = checkpoints
        self._dtype = dtype
        self.lora_rank = lora_rank
        self._start = start
        self._probes: dict[str, Probe] = {}
        self._running: Running | None = None
        self._opened: dict[Version, VllmSampler] = {}

    def open(self, version: Version) -> VllmSampler:
        """A sampler of one version, on the engine that runs if that can answer as it; else that one is ended.

        ModelUnusable if no engine can.
        """
        if version not in self._opened:
            folder = source_folder(version.source, self._checkpoints)
            self._opened[version] = self._adapted(version, folder) or self._started(version, folder)
        return self._opened[version]

    def close(self) -> None:
        """End the engine, and give back its memory."""
        self._opened.clear()
        if self._running is not None:
            self._running.llm.llm_engine.engine_core.shutdown()
            self._running = None
            gc.collect()

    def _started(self, version: Version, folder: str) -> VllmSampler:
        """On a fresh engine, of the whole version."""
        self.close()
        reader, probe = self._reader_and_probe(version, folder)
        llm, reach = self._start(folder, self._engine, name=reader.name, dtype=self._dtype, rank=self.lora_rank)
        self._running = Running(version, llm, reach=reach, rank=self.lora_rank, sleeps=self._engine.sleep)
        sampler = VllmSampler(version, reader, self._blobs, self._running, probe)
        try:
            probe.check(sampler, reader.name)
        except ModelUnusable:
            self.close()
            raise
        return sampler

    def _adapted(self, version: Version, folder: str) -> VllmSampler | None:
        """On the engine that runs, by the version's adapter; None where that cannot be."""
        running, adapter = self._running, read_adapter(folder)
        if running is None or adapter is None or not running.takes(adapter):
            return None
        base = self._opened[running.version]
        reader, probe = self._reader_and_probe(version, folder)
        try:
            with base.awake():
                lora = running.put_on(adapter, version)
                sampler = VllmSampler(version, reader, self._blobs, running, probe, lora)
                probe.check_adapter(sampler, base, reader.name)
        except ModelUnusable as error:
            log.warning(
                "%s: a fresh engine is started, as the one that runs does not do with its adapter: %s",
                reader.name,
                error,
            )
            return None
        return sampler

    def _reader_and_probe(self, version: Version, folder: str) -> tuple[Reader, Probe]:
        name = f"{version.source} ({version.id[:12]})"
        if version.id not in self._probes:
            self._probes[version.id] = make_probe(folder, self._blobs, name=name, dtype=self._dtype)
        return load_reader(folder, name=name), self._probes[version.id]


class VllmSampler:
    """Draws and scores responses of one version on one engine."""

    def __init__(
        self, version: Version, reader: Reader, blobs: Blobs, running: Running, probe: Probe, lora: Any | None = None
    ) -> None:
        """With `lora`, which makes a request one of an adapter, each request carries it."""
        self.version = version
        self.running = running
        self._reader = reader
        self._blobs = blobs
        self._probe = probe
        self._lora = lora

    def sample(self, job: SamplingJob) -> Iterator[list[Sample]]:
        """Yield the samples of `settings.batch` prompts at a time, in the order of the prompts.

        A prompt is one request. vLLM gives sample i of a request the seed `request seed + i`, so a sample's seed is
        (seed, prompt id) + index, in whatever request it is drawn. A schema is enforced.

        A prompt that does not fit into `max_model_len` gets empty responses, truncated: it must not end a round.

        Raises:
            ModelUnusable: If vLLM fails.
            UnreadableImage: If an image cannot be decoded.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        settings = job.settings
        options: dict[str, Any] = {
            "n": 1 if settings.temperature == 0 else job.n,  # vLLM refuses to answer greedily more than once
            "temperature": settings.temperature,
            "max_tokens": settings.max_tokens,
            "stop_token_ids": sorted(self._reader.stop_ids),
            "logit_bias": dict.fromkeys(sorted(self._reader.placeholder_ids), NEVER) or None,
        }
        if job.schema is not None:
            options["structured_outputs"] = StructuredOutputsParams(json=dict(job.schema))
        for begin in range(0, len(job.prompts), settings.batch):
            some = job.prompts[begin : begin + settings.batch]
            firsts = [derive_seed(job.seed, prompt.id) % SEEDS + job.first_index for prompt in some]
            outputs = self._ask(
                some,
                [self._request(prompt) for prompt in some],
                [SamplingParams(seed=first, **options) for first in firsts],
            )
            yield [
                self._sample(prompt, job.first_index + place, first + place, completion)
                for prompt, first, output in zip(some, firsts, outputs, strict=True)
                for place, completion in enumerate([None] * job.n if output is None else _all(output.outputs, job.n))
            ]

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]], *, top: int) -> list[TokenScores]:
        """Log-probabilities of each response's tokens and of the `top` (at most `vllm_running.MAX_TOP`) likeliest ones.

        vLLM tells `prompt_logprobs` of the whole prompt, place by place; of given tokens alone it tells no more than
        them, where it can and the prompts are text. Of a response that does not fit into `max_model_len`, nothing.
        """
        from vllm import SamplingParams

        if self.running.adapts and len(prompts) > 1:  # scored together, they miss their adapters (vLLM's issue 16668)
            pairs = zip(prompts, responses, strict=True)
            return [own for prompt, response in pairs for own in self.score([prompt], [response], top=top)]
        requests = [self._request(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]
        plain = {"max_tokens": 1, "temperature": 0.0}  # one token is generated, as vLLM generates always; it is dropped
        # How many tokens a picture takes, only the engine knows; the response's place must be said in tokens.
        if top == 0 and not any(prompt.images for prompt in prompts) and scores_given_ids(self.running.llm):
            params = [
                SamplingParams(
                    prompt_logprob_token_ids=[[token] for token in response],
                    prompt_logprob_start=len(request["prompt_token_ids"]) - len(response) - 1,
                    **plain,
                )
                for request, response in zip(requests, responses, strict=True)
            ]
            outputs = self._ask(prompts, requests, params)
            return [UNSCORED if one is None else given_scores(one.prompt_token_id_logprobs) for one in outputs]
        outputs = self._ask(prompts, requests, [SamplingParams(prompt_logprobs=top, **plain)] * len(requests))
        return [
            UNSCORED if one is None else token_scores(one.prompt_logprobs[-len(response) :], response, top)
            for one, response in zip(outputs, responses, strict=True)
        ]

    def _request(self, prompt: Prompt, response: Sequence[int] = ()) -> dict[str, Any]:
        """A prompt in the chat template as token ids, one placeholder per image, with its pictures."""
        text = self._reader.chat(prompt)
        ids = self._reader.tokenizer.encode(text, add_special_tokens=self._reader.adds_special_tokens(text))
        request: dict[str, Any] = {"prompt_token_ids": [*ids, *response]}
        if prompt.images:
            request["multi_modal_data"] = {"image": [open_image(self._blobs, image) for image in prompt.images]}
        return request

    def _ask(
        self, prompts: Sequence[Prompt], requests: Sequence[dict[str, Any]], params: Sequence[Any]
    ) -> list[Any | None]:
        """The outputs of the prompts' requests, in their order; None for one that is too long."""
        try:
            return self._outputs(requests, params)
        except _TooLong as error:  # vLLM names none of them, and refuses all
            if len(requests) == 1:
                log.warning("prompt %s counts as unanswered: %s", prompts[0].id, error)
                return [None]
        found: list[Any | None] = []
        for prompt, request, own in zip(prompts, requests, params, strict=True):
            found += self._ask([prompt], [request], [own])
        return found

    def _outputs(self, requests: Sequence[dict[str, Any]], params: Sequence[Any]) -> list[Any]:
        """The outputs of some requests, in their order."""
        from vllm.exceptions import VLLMClientError, VLLMError
        from vllm.v1.engine.exceptions import EngineDeadError

        with self.awake():
            try:
                return list(self.running.llm.generate(requests, params, use_tqdm=False, lora_request=self._lora))
            except (VLLMClientError, ValueError) as error:
                if CONTEXT_IS_FULL.search(str(error)):
                    raise _TooLong(str(error)) from None
                raise ModelUnusable(f"{self._reader.name}: vLLM refuses a prompt: {error}; drop the prompt") from error
            except (VLLMError, EngineDeadError, RuntimeError) as error:
                raise ModelUnusable(
                    f"{self._reader.name}: vLLM failed: {error}; what is committed is kept, so run again, or set"
                    ' kind = "transformers"'
                ) from error

    def awake(self) -> AbstractContextManager[None]:
        """A block in which the engine is awake; if it was woken, it has proved that it still serves this version."""
        return self.running.awake(lambda: self._probe.check(self, self._reader.name))

    def _sample(self, prompt: Prompt, index: int, seed: int, completion: Any | None) -> Sample:
        if completion is None:
            return Sample(prompt.id, index, seed, "", 0, truncated=True)
        text = self._reader.tokenizer.decode(completion.token_ids, skip_special_tokens=True).strip()
        cut = completion.finish_reason == "length"
        return Sample(prompt.id, index, seed, text, len(completion.token_ids), truncated=cut)


class _TooLong(Exception):
    """Some prompt, or its response, does not fit into the engine's context."""


def scores_given_ids(llm: Any) -> bool:
    """Whether an engine scores token ids that it is given: newer vLLMs do where their second model runner runs."""
    from vllm import SamplingParams

    takes = "prompt_logprob_token_ids" in SamplingParams.__annotations__
    return takes and bool(llm.llm_engine.vllm_config.use_v2_model_runner)


def _all(completions: Sequence[Any], n: int) -> Sequence[Any]:
    """The completions of a request by index; a single greedy one stands for all `n`."""
    by_index = sorted(completions, key=lambda completion: completion.index)
    return by_index if len(by_index) == n else by_index * n
