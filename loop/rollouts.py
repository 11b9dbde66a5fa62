"""Rollouts of one version for a list of prompts: planned once, sampled, committed as they come.

    prompts -> those that the ledger lacks samples of -> plan (recorded) -> sample -> answers -> ledger
            -> responses that are there but were read otherwise -> answers -> ledger

The plan is what makes a resumed stage equal to an undisturbed one: another batch shape rounds differently, so batches
are cut once over all the work and never re-formed. What a sampler hands on at a time is one transaction. In process
that is a batch, there whole or not at all; a server's samples come one by one, and only those that are not there are
drawn again.

A response is drawn once, and read as often as the way of reading changes (`[answers]`, `answer_pattern`, the answer
module): each reading is a row of its own, so that earlier rounds keep the answers that they decided by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from loop.config import Sampling
from loop.ports import Ports, SamplingJob, SamplingPorts
from loop.work import Work
from policies.answers import VERSION, AnswerSettings, canonical, extract, options_in
from policies.divergence import answer_class
from store.records import Prompt, Rollout, RolloutStatus, Sample, Version, digest_of

REPORTING = 1_000_000
"""Index of a prompt's first reporting sample. Selecting samples are below; neither ever counts as the other."""


@dataclass(frozen=True)
class Drawing:
    """How many samples of which version are wanted, and under which name the work is planned."""

    version: Version
    wanted: Mapping[str, int]
    """Samples by prompt id."""
    settings: Sampling
    answers: AnswerSettings | None
    """None: the responses are no answers to a question (a generator's replies), and are kept as they are."""
    seed: int
    key: str
    first: int = 0
    """Index of each prompt's first sample: 0, or `REPORTING`."""
    schema: Mapping[str, object] | None = None
    """What a response should be, as JSON schema."""

    @property
    def sampling(self) -> str:
        """The key under which the ledger keeps its rollouts."""
        if self.answers is None:
            return reply_key(self.settings, self.schema)
        return sampling_key(self.settings, self.answers)


@dataclass(frozen=True)
class Collected:
    """All wanted rollouts, and what this drawing had to pay for (the planned ones: the same after a resume)."""

    rollouts: Mapping[str, tuple[Rollout, ...]]
    samples: int
    tokens: int


def sampling_key(settings: Sampling, answers: AnswerSettings) -> str:
    """What is part of a rollout's identity: how it was drawn, then how its answer was read. The batch size is not."""
    return _drawn(settings) + digest_of(_reading(settings, answers))[:32]


def sampling_keys(settings: Sampling, answers: AnswerSettings) -> tuple[str, str]:
    """Where rollouts that were drawn and read like this may be: now, and in a ledger from before keys had two parts."""
    return sampling_key(settings, answers), digest_of(_drawing(settings) | _reading(settings, answers))


def _drawn(settings: Sampling) -> str:
    """How the keys of rollouts begin that were drawn alike."""
    return digest_of(_drawing(settings))[:32] + "."


def _drawing(settings: Sampling) -> dict[str, object]:
    return {"temperature": settings.temperature, "max_tokens": settings.max_tokens}


def _reading(settings: Sampling, answers: AnswerSettings) -> dict[str, object]:
    return {"answer_pattern": settings.answer_pattern, "answers": asdict(answers), "answers_version": VERSION}


def reply_key(settings: Sampling, schema: Mapping[str, object] | None) -> str:
    """What is part of the identity of a reply that is no answer: how it was drawn, and what form it was held to."""
    return digest_of(_drawing(settings) | {"schema": schema})


def collect(drawing: Drawing, prompts: Sequence[Prompt], ports: SamplingPorts, *, texts: bool = True) -> Collected:
    """The rollouts of `drawing.version` for these prompts; samples that the ledger holds are not drawn again.

    Without `texts` their `text` is empty: of a pool with long responses nobody could hold them all.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    plan = ports.ledger.find_plan(drawing.key)
    if plan is None:
        plan = _cut(drawing, held_rollouts(drawing, ports, texts=False))
        ports.ledger.add_plan(drawing.key, plan)

    planned = [_planned(batch) for batch in plan]
    held = held_rollouts(drawing, ports, texts=texts)
    missing = _missing(planned, held)
    total = sum(len(ids) * (stop - start) for start, stop, ids in planned)
    with ports.progress.bar(f"{drawing.version.role} samples", total) as advance:
        advance(total - sum(len(ids) * (stop - start) for (start, stop), ids in missing.items()))
        ports.spending.draw(*_paid(planned, held))
        for (start, stop), ids in missing.items():
            for rows in _draw(drawing, [by_id[id] for id in ids], start, stop, ports):
                ports.ledger.add_rollouts(rows)
                advance(len(rows))
                ports.spending.draw(len(rows), sum(row.num_tokens for row in rows))

    if missing:
        held.clear()  # the old ones beside the new ones would take twice the room
        held = held_rollouts(drawing, ports, texts=texts)
    return Collected(held, *_paid(planned, held))


def sample_side(
    work: Work,
    version: Version,
    wanted: Mapping[str, int],
    prompts: Sequence[Prompt],
    ports: Ports,
    *,
    stage: str,
    first: int = 0,
) -> Collected:
    """Samples of one version, from index `first` on, without their text; `stage` names the plan of the work."""
    drawing = drawing_of(work, version, wanted, key=work.key(stage, version.role), first=first)
    return collect(drawing, prompts, ports, texts=False)


def drawing_of(work: Work, version: Version, wanted: Mapping[str, int], *, key: str, first: int = 0) -> Drawing:
    """A drawing under the settings of this round."""
    settings = work.settings
    seed = work.seed("rollouts", version.id)
    return Drawing(version, wanted, settings.sampling, settings.answers.settings(), seed, key, first)


def classes_of(collected: Collected, ids: Sequence[str]) -> list[list[str]]:
    """The answer classes of each prompt's samples, in order of index."""
    return [[answer_class(rollout) for rollout in collected.rollouts[id]] for id in ids]


def held_rollouts(drawing: Drawing, ports: SamplingPorts, *, texts: bool = True) -> dict[str, tuple[Rollout, ...]]:
    """What the ledger holds of what a drawing wants, by prompt id, in order of index; read again where need be.

    Without `texts` their `text` is empty, but for those that are read again.
    """
    held = _held(drawing, drawing.sampling, list(drawing.wanted), ports, texts=texts)
    lacking = [id for id, rows in held.items() if len(rows) < drawing.wanted[id]]
    if drawing.answers is not None and lacking:
        for id, rows in _read_again(drawing, drawing.answers, lacking, held, ports).items():
            held[id] = tuple(sorted((*held[id], *rows), key=lambda row: row.index))
    return held


def _held(
    drawing: Drawing, sampling: str, ids: Sequence[str], ports: SamplingPorts, *, texts: bool
) -> dict[str, tuple[Rollout, ...]]:
    """The rollouts under one key that a drawing wants."""
    rows = ports.ledger.rollouts(drawing.version.id, sampling, ids, texts=texts)
    return {
        id: tuple(row for row in rows.get(id, ()) if 0 <= row.index - drawing.first < drawing.wanted[id]) for id in ids
    }


def _read_again(
    drawing: Drawing,
    answers: AnswerSettings,
    ids: Sequence[str],
    held: Mapping[str, tuple[Rollout, ...]],
    ports: SamplingPorts,
) -> dict[str, list[Rollout]]:
    """Responses that were drawn like this and read otherwise, with their answers as they are read now; recorded."""
    own, before = sampling_keys(drawing.settings, answers)
    alike = ports.ledger.samplings(drawing.version.id, _drawn(drawing.settings))
    there = {(id, row.index) for id in ids for row in held[id]}
    found: dict[str, list[Rollout]] = {}
    for sampling in (before, *(key for key in alike if key != own)):
        elsewhere = {id: rows for id, rows in _held(drawing, sampling, ids, ports, texts=True).items() if rows}
        for prompt in ports.ledger.prompts(list(elsewhere)):
            new = [row for row in elsewhere[prompt.id] if (prompt.id, row.index) not in there]
            there |= {(prompt.id, row.index) for row in new}
            found.setdefault(prompt.id, []).extend(as_rollout(_sample(row), prompt, drawing) for row in new)
    if found:
        ports.ledger.add_rollouts([row for rows in found.values() for row in rows])
    return found


def _sample(row: Rollout) -> Sample:
    """A rollout as it was before anyone read it."""
    return Sample(row.prompt_id, row.index, row.seed, row.text, row.num_tokens, row.status is RolloutStatus.TRUNCATED)


def _cut(drawing: Drawing, held: Mapping[str, tuple[Rollout, ...]]) -> tuple[tuple[str, ...], ...]:
    """Batches of prompts that lack the same samples: ("first index:index after the last", prompt id, ...)."""
    whole = [(drawing.first, drawing.first + drawing.wanted[id], (id,)) for id in sorted(drawing.wanted)]
    size = drawing.settings.batch
    return tuple(
        (f"{first}:{stop}", *ids[start : start + size])
        for (first, stop), ids in sorted(_missing(whole, held).items())
        for start in range(0, len(ids), size)
    )


def _planned(batch: Sequence[str]) -> tuple[int, int, Sequence[str]]:
    """First index, index after the last, and prompt ids of a batch that `_cut` made."""
    start, stop = batch[0].split(":")
    return int(start), int(stop), batch[1:]


def _paid(
    planned: Sequence[tuple[int, int, Sequence[str]]], held: Mapping[str, tuple[Rollout, ...]]
) -> tuple[int, int]:
    """How many samples of a plan are there, and their tokens."""
    paid = [row for start, stop, ids in planned for id in ids for row in held[id] if start <= row.index < stop]
    return len(paid), sum(row.num_tokens for row in paid)


def _missing(
    planned: Sequence[tuple[int, int, Sequence[str]]], held: Mapping[str, tuple[Rollout, ...]]
) -> dict[tuple[int, int], list[str]]:
    """The samples of a plan that are not there: (first index, index after the last) -> prompt ids in planned order.

    A sampler in process cuts the batches of a span anew, at the same places: all but the last are full.
    """
    missing: dict[tuple[int, int], list[str]] = {}
    for start, stop, ids in planned:
        for id in ids:
            there = {row.index for row in held[id]}
            for span in _runs([index for index in range(start, stop) if index not in there]):
                missing.setdefault(span, []).append(id)
    return missing


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending indices as runs without a gap: (first, after the last)."""
    starts = [index for index in indices if index - 1 not in indices]
    stops = [index + 1 for index in indices if index + 1 not in indices]
    return list(zip(starts, stops, strict=True))


def _draw(
    drawing: Drawing, prompts: Sequence[Prompt], start: int, stop: int, ports: SamplingPorts
) -> Iterator[list[Rollout]]:
    sampler, by_id = ports.samplers.open(drawing.version), {prompt.id: prompt for prompt in prompts}
    job = SamplingJob(prompts, stop - start, drawing.seed, drawing.settings, start, drawing.schema)
    for chunk in sampler.sample(job):
        yield [as_rollout(sample, by_id[sample.prompt_id], drawing) for sample in chunk]


def as_rollout(sample: Sample, prompt: Prompt, drawing: Drawing) -> Rollout:
    """A sample with its answer. A truncated response has none: what it might have said is unknown."""
    answer = form = None
    if not sample.truncated and drawing.answers is not None:
        answer = extract(sample.text, drawing.settings.answer_pattern)
        options = options_in(prompt.question) or None
        form = None if answer is None else canonical(answer, options=options, settings=drawing.answers)
    status = RolloutStatus.NO_ANSWER if answer is None else RolloutStatus.ANSWERED
    return Rollout(
        sample.prompt_id,
        drawing.version.id,
        drawing.sampling,
        sample.index,
        sample.seed,
        sample.text,
        RolloutStatus.TRUNCATED if sample.truncated else status,
        answer,
        form,
        sample.num_tokens,
    )
