"""What a campaign will cost, from counts and rates: plain arithmetic.

    Asked (what the campaign file asks for) + Shares (what only the run will tell) -> samples, responses, answers
    + Lengths (tokens per response) -> tokens      + Speeds -> seconds of the machine      + Sizes -> bytes

A round pays for teacher samples of prompts that are new to the pool only, and for student samples of the whole pool,
as every round is taken to promote its student: the most that can happen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Asked:
    """What a campaign file asks for; counts are per round unless they say otherwise."""

    rounds: int
    pool: int
    """Prompts at the start."""
    teacher_samples: int
    """Per prompt."""
    student_samples: int
    """Per prompt; with `adaptive` a multiple of it is all that scoring may spend."""
    adaptive: float | None
    """Share of fixed scoring's student samples that adaptive scoring may spend; None for fixed scoring."""
    reporting_samples: int
    """Per side and reported prompt."""
    reported_chosen: float
    reported_pool: float
    candidates: int
    """Asked for of the synthesizer, all sources together."""
    replies: int
    """Of a generator: questions and names of skills."""
    chosen: int
    """Prompts trained on, at most."""
    all_eligible: bool
    """Whether the choice is made among all prompts, rather than among those of which the answers differ."""
    responses: int
    """The student's in training: steps times batch."""
    token_budget: int | None
    """Of training."""
    questions: int
    """Held out, asked of a candidate."""
    closing_questions: int
    """Asked once at the end: those of suites of which a round takes a part."""


@dataclass(frozen=True)
class Shares:
    """What nobody knows before the run, with what was seen in three rounds of the embedded campaign."""

    parsed: float = 0.85
    """Of the candidates: well formed, new, and not held out."""
    admitted: float = 0.6
    """Of the parsed ones."""
    differing: float = 0.33
    """Of the pool: prompts on which the answers differ (31 % in the sets of arXiv 2605.15532)."""


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a response."""

    teacher: float
    student: float
    differing: float
    """The student's to prompts on which the two differ: what is synthesised and chosen."""
    train: float
    """The student's in training, which samples at a temperature of its own."""
    generator: float


@dataclass(frozen=True)
class Speed:
    """Seconds that work takes."""

    start_s: float = 0.0
    """Once a round."""
    prompt_s: float = 0.0
    """Per prompt, whatever is drawn for it."""
    token_s: float = 0.0

    def of(self, prompts: float, tokens: float) -> float:
        """Seconds of so many prompts and tokens, without the start."""
        return self.prompt_s * prompts + self.token_s * tokens


@dataclass(frozen=True)
class Speeds:
    """Of the kinds of work that take a round's time."""

    teacher: Speed
    student: Speed
    train: Speed
    embed: Speed


@dataclass(frozen=True)
class Sizes:
    """Bytes on disk."""

    rollout: float
    prompt: float
    """With its pictures and its vector."""
    score: float
    answer: float
    """To a held-out question."""
    checkpoint: float
    """Of a candidate, all copies."""


@dataclass(frozen=True)
class Cost:
    """What a round, or a campaign, spends."""

    teacher_samples: float = 0.0
    student_samples: float = 0.0
    generator_samples: float = 0.0
    answers: float = 0.0
    """Greedy ones to held-out questions."""
    teacher_tokens: float = 0.0
    student_tokens: float = 0.0
    generator_tokens: float = 0.0
    train_tokens: float = 0.0
    answer_tokens: float = 0.0
    device_s: float = 0.0
    """Seconds in which the models of this machine are at work."""
    storage_bytes: float = 0.0

    @staticmethod
    def total(parts: Iterable[Cost]) -> Cost:
        """The sum."""
        return Cost(*(sum(column) for column in zip(*map(astuple, parts), strict=True)))


@dataclass(frozen=True)
class Rates:
    """All that turns counts into costs."""

    shares: Shares
    lengths: Lengths
    speeds: Speeds
    sizes: Sizes


@dataclass(frozen=True)
class Plan:
    """Costs by round, the preparation first."""

    rounds: tuple[Cost, ...]
    pools: tuple[float, ...]
    """Prompts at the start of each round; of the preparation, what is taken in."""

    @property
    def total(self) -> Cost:
        """Of the campaign."""
        return Cost.total(self.rounds)


def plan(asked: Asked, rates: Rates) -> Plan:
    """Foresee a campaign from its beginning."""
    costs, pools, size = [_preparation(asked, rates)], [float(asked.pool)], float(asked.pool)
    for index in range(1, asked.rounds + 1):
        pools.append(size)
        cost, admitted = _round(asked, rates, size, unknown=asked.pool if index == 1 else 0)
        costs.append(Cost.total([cost, _closing(asked, rates)]) if index == asked.rounds else cost)
        size += admitted
    return Plan(tuple(costs), tuple(pools))


def _preparation(asked: Asked, rates: Rates) -> Cost:
    return Cost.total(
        [
            _evaluation(asked.questions, rates.lengths.teacher, rates.speeds.teacher, rates),
            _evaluation(asked.questions, rates.lengths.student, rates.speeds.student, rates),
            Cost(storage_bytes=asked.pool * rates.sizes.prompt),
        ]
    )


def _closing(asked: Asked, rates: Rates) -> Cost:
    return _evaluation(asked.closing_questions, rates.lengths.student, rates.speeds.student, rates)


def _round(asked: Asked, rates: Rates, pool: float, *, unknown: int) -> tuple[Cost, float]:
    """A round's cost, and how many prompts it admits; `unknown` ones have no samples of the teacher yet."""
    shares, lengths, sizes = rates.shares, rates.lengths, rates.sizes
    parsed = asked.candidates * shares.parsed
    admitted = parsed * shares.admitted
    chosen = min(asked.chosen, pool * (1.0 if asked.all_eligible else shares.differing) + admitted)
    of_choice = asked.reported_chosen * chosen if asked.reporting_samples else 0.0
    of_pool = asked.reported_pool * pool if asked.reporting_samples else 0.0
    reports = of_choice + of_pool
    scored = asked.student_samples * pool
    if asked.adaptive is not None:  # the allowance is for both sides of the reports too
        scored = max(0.0, asked.adaptive * scored - 2 * asked.reporting_samples * reports)
    parts = [
        _sampling(unknown, unknown * asked.teacher_samples, lengths.teacher, rates, teacher=True),
        _sampling(pool, scored, lengths.student, rates, teacher=False),
        _sampling(parsed, parsed * asked.teacher_samples, lengths.differing, rates, teacher=True),
        _sampling(parsed, parsed * asked.student_samples, lengths.differing, rates, teacher=False),
        _reports(of_choice, lengths.differing, lengths.differing, asked, rates),
        _reports(of_pool, lengths.teacher, lengths.student, asked, rates),
        _generation(asked, rates),
        _training(asked, rates),
        _evaluation(asked.questions, lengths.student, rates.speeds.student, rates),
        Cost(
            device_s=rates.speeds.embed.of(unknown + asked.candidates, 0),
            storage_bytes=asked.candidates * sizes.prompt + (pool + parsed) * sizes.score + sizes.checkpoint,
        ),
    ]
    return Cost.total(parts), admitted


def _sampling(prompts: float, samples: float, length: float, rates: Rates, *, teacher: bool) -> Cost:
    tokens, bytes_ = samples * length, samples * rates.sizes.rollout
    if teacher:
        seconds = rates.speeds.teacher.of(prompts, tokens)
        return Cost(teacher_samples=samples, teacher_tokens=tokens, device_s=seconds, storage_bytes=bytes_)
    seconds = rates.speeds.student.of(prompts, tokens)
    return Cost(student_samples=samples, student_tokens=tokens, device_s=seconds, storage_bytes=bytes_)


def _reports(prompts: float, of_teacher: float, of_student: float, asked: Asked, rates: Rates) -> Cost:
    samples = prompts * asked.reporting_samples
    return Cost.total(
        [
            _sampling(prompts, samples, of_teacher, rates, teacher=True),
            _sampling(prompts, samples, of_student, rates, teacher=False),
        ]
    )


def _generation(asked: Asked, rates: Rates) -> Cost:
    """A generator is taken to be as fast as the teacher, which it is unless the file names another."""
    tokens = asked.replies * rates.lengths.generator
    seconds = rates.speeds.teacher.of(asked.replies, tokens)
    stored = asked.replies * rates.sizes.rollout
    return Cost(generator_samples=asked.replies, generator_tokens=tokens, device_s=seconds, storage_bytes=stored)


def _training(asked: Asked, rates: Rates) -> Cost:
    speed, tokens = rates.speeds.train, asked.responses * rates.lengths.train
    share = 1.0 if asked.token_budget is None else min(1.0, asked.token_budget / max(tokens, 1.0))
    seconds = speed.start_s + share * speed.of(asked.responses, tokens)
    return Cost(train_tokens=share * tokens, device_s=seconds)


def _evaluation(questions: float, length: float, speed: Speed, rates: Rates) -> Cost:
    tokens = questions * length
    seconds, stored = speed.of(questions, tokens), questions * rates.sizes.answer
    return Cost(answers=questions, answer_tokens=tokens, device_s=seconds, storage_bytes=stored)
