"""A campaign file: one TOML, read into frozen settings, every key checked.

    name, seed, rounds                  the campaign
    [models] [pool] [embedding]         what it works on
    [engines.ROLE]                      what draws responses (loop/engine_settings.py)
    [sampling] [answers]                what is drawn, and which answers are the same
    [scoring] [adaptive]                how Δ is measured
    [targeting]                         where it is aimed
    [synthesis] [generation]            what is made, and how a model makes it
    [selection] [training]              what is chosen and trained on
    [evaluation] [promotion]            what is kept, and when to stop
    [tracking] [limits] [service]       what people see, what may be spent, and when `deltaloop serve` does what

`identity()` is what must never change between two runs of one campaign (the pair and the seed); everything else may
change, and applies from the next round that starts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, ValidationError, model_validator

from loop.engine_settings import Engines
from loop.paths import with_paths
from loop.section import Count, Positive, Section, Share
from loop.service_settings import Serving
from loop.training_settings import Training
from policies.answers import AnswerSettings, extract
from policies.selection import SELECTION
from policies.targeting import TARGETING
from store.errors import UsageError
from store.records import Origin, digest_of

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


def _one_of(names: Collection[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"not one of {', '.join(sorted(names))}")
        return value

    return check


def _choices(names: Collection[str]) -> Any:
    """Shows the allowed names in the schema, from which the page of keys is made."""
    allowed: list[JsonValue] = [*sorted(names)]
    return Field(json_schema_extra={"enum": allowed})


def _extracts(pattern: str) -> str:
    extract("", pattern)  # ValueError, with the reason, for an expression that does not compile or has no group
    return pattern


def _none_or_two(value: int) -> int:
    if value < 0 or value == 1:
        raise ValueError("must be 0 or at least 2: an unbiased distance needs two samples a side")
    return value


class Models(Section):
    """The pair."""

    teacher: str = "embedded:teacher"
    """`embedded:teacher`, a folder that `from_pretrained` loads, or a hub name."""
    student: str = "embedded:student"
    """Like `teacher`; what the campaign begins with."""
    generator: str = "teacher"
    """What writes questions where `synthesis.synthesizer` is `model`: `teacher`, or another model."""
    device: str = "auto"
    """`auto` takes CUDA where there is one; or a torch device name."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the weights while sampling and training."""
    threads: Positive = 2
    """Torch threads on CPU. Part of what makes a run bit-for-bit repeatable."""


class Pool(Section):
    """The prompts that the campaign starts from."""

    name: Name = "embedded"
    """A pool is shared by the campaigns of a home that name it; admitted prompts join it."""
    source: str = "embedded"
    """`embedded`, what `deltaloop import` takes (docs/prompts.md), or `imported`: the pool was filled by it before."""
    size: Positive = 600
    """Prompts of the embedded pool; anything else is taken whole."""
    easy_share: Share = 0.7
    """Share of easy questions in the embedded pool: sets as they come are mostly easy."""
    easy_vqa_share: Share = 0.15
    """Share of easy-vqa questions in the embedded pool."""
    seed: int = 0
    """Draws the embedded pool."""


class Embedding(Section):
    """What turns a prompt into a unit vector."""

    model: str = "student"
    """`student` or `teacher` (own encoder, the version at the start), or a sentence-transformers model."""
    batch: Positive = 64
    """Prompts per batch."""


class Sampling(Section):
    """How responses are drawn. Another temperature or length draws anew; another pattern reads what is there again."""

    temperature: Annotated[float, Field(ge=0.0)] = 0.7
    """0 is greedy."""
    max_tokens: Positive = 32
    """A response that reaches this is `truncated`, an answer class of its own."""
    batch: Positive = 32
    """Prompts per batch: commits happen after each."""
    answer_pattern: Annotated[str, AfterValidator(_extracts)] = "answer"
    """`answer` (after `Answer:`), `boxed`, `answer_tag`, `box_tokens`, `last_line`, or an expression with a group.

    Thinking blocks are cut away first. Of an expression, the last match's first group is the final answer.
    """


class Answers(Section):
    """When two answers are the same. A change reads the stored responses again; none is drawn again."""

    percent: Literal["keep", "number", "fraction"] = "keep"
    """`keep`: 12 % is only 12 percent; `number`: it is 12 too; `fraction`: it is 0.12."""
    ordered_lists: bool = True
    """Whether `red, blue` is another answer than `blue, red`."""
    day_first: bool = False
    """Whether 5/3/2020 is in March."""
    formulas: bool = True
    """Whether LaTeX formulas are parsed, or compared as text."""

    def settings(self) -> AnswerSettings:
        """As the answer module takes them."""
        return AnswerSettings(**self.model_dump())


class Scoring(Section):
    """How Δ is measured."""

    rule: Literal["fixed", "adaptive"] = "fixed"
    """`fixed`: `student_samples` of every prompt; `adaptive`: see `[adaptive]`, `student_samples` at most."""
    teacher_samples: Positive = 8
    """Per prompt; drawn once and kept for ever."""
    student_samples: Positive = 8
    """Per prompt and student version."""
    smoothing: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    """Share of the student's distribution mixed into the teacher's: Δ = KL(p, (1 - s) q + s p), at most log(1/s)."""
    false_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    """Of the prompts that are declared to differ, the mean share that may not (Benjamini-Hochberg)."""
    reporting_samples: Annotated[int, AfterValidator(_none_or_two)] = 4
    """Per side and prompt, drawn after the choice, to tell what it is worth; 0 for none, else at least 2."""
    reported_chosen: Share = 0.25
    """Share of the chosen prompts, drawn at random, that gets reporting samples."""
    reported_pool: Share = 0.1
    """Share of the pool, drawn at random, that gets reporting samples."""


class Adaptive(Section):
    """Where adaptive scoring spends student samples."""

    budget: Annotated[float, Field(gt=0.0)] = 0.2
    """Share of what `fixed` would spend on the student, reporting samples of both sides included."""
    unit: Literal["samples", "tokens"] = "samples"
    """What the budget counts; a prompt's tokens are foreseen from its teacher's responses."""
    neighbours: Count = 8
    """Nearest prompts whose Δ says something about a prompt's own."""
    revisit: Positive = 4
    """Every prompt is sampled at least once in so many rounds."""
    tolerance: Annotated[float, Field(ge=0.0)] = 0.002
    """Stop when more samples are expected to better the choice's Δ by less than this share."""


class Targeting(Section):
    """Where synthesis is aimed."""

    rule: Annotated[str, AfterValidator(_one_of(TARGETING)), _choices(TARGETING)] = "thompson"
    """How the budget is split over regions."""
    regions: Positive = 8
    """Clusters of the embedding space."""
    seeds_per_region: Positive = 16
    """Prompts of a region that synthesis starts from."""
    exploration: Share = 0.1
    """Share of the budget that is spread evenly over all regions, whatever the rule says."""
    discount: Share = 0.5
    """How much of a region's evidence survives a round: the student moves."""


class Synthesis(Section):
    """How new prompts are made and admitted."""

    synthesizer: Literal["procedural", "model", "none"] = "procedural"
    """`procedural` asks about pictures of the embedded world, `model` see `[generation]`; `none` makes no prompts."""
    seed_guided: Count = 120
    """Candidates of stage one, per round."""
    skill_guided: Count = 120
    """Candidates of stage two, per round."""
    skills_per_region: Positive = 3
    """Failure skills named per region."""
    min_consistency: Share = 0.5
    """Candidates on which the teacher agrees with itself less than this are rejected."""
    duplicate_cosine: Annotated[float, Field(gt=0.0, le=1.0)] = 0.99999
    """A candidate this close to a pool prompt is a duplicate."""
    image_distance: Count = 48
    """Largest Hamming distance between perceptual hashes (of 576 bits) at which two images count as the same.

    By `scripts.calibrate_image_hash`, 1,500 pictures a side: at most 0.3 % of the pool pictures come that near to any
    held-out one, and so do 100 % (scenes) and 96 % (easy-vqa) of the altered copies of a picture.
    """


class Generation(Section):
    """How a model writes questions, and names what the student lacks (docs/synthesis.md)."""

    templates: str | None = None
    """A folder with Jinja2 files that take the place of the shipped ones of the same name."""
    temperature: Annotated[float, Field(ge=0.0)] = 1.0
    """Of the generator."""
    max_tokens: Positive = 1024
    """Of a reply; one that reaches this is rejected as a whole."""
    batch: Positive = 32
    """Instructions per batch: commits happen after each."""
    questions: Positive = 4
    """Asked for per reply."""
    suffix: str = ""
    """Ends every written question, e.g. ` End with "Answer: X".`; of questions that a generator sees it is cut off."""
    contrasts: Positive = 8
    """Prompts per region from which a failure skill is named, those of the largest Δ."""
    merge_cosine: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """Names of skills this close are one skill."""
    charts: Count = 0
    """Candidates per round on *new* charts, drawn from Vega-Lite specs that the generator writes; extra `charts`."""


class Selection(Section):
    """What the student trains on."""

    rule: Annotated[str, AfterValidator(_one_of(SELECTION)), _choices(SELECTION)] = "delta_diverse"
    """Which prompts are preferred."""
    prompts: Positive = 256
    """Size of a round's training set, at most."""
    min_consistency: Share = 0.5
    """Prompts on which the teacher agrees with itself less than this are not trained on."""
    min_delta: Annotated[float, Field(ge=0.0)] = 0.0
    """Prompts with a smaller Δ (nats) are not trained on; the controls `uniform` and `zero_delta` ignore it."""


TUNE = "tune"
"""The table of a campaign file that says how its budgets are tuned."""
SUITE_LISTS = ("main", "beside")


class Evaluation(Section):
    """Held-out suites."""

    source: str = "embedded"
    """`embedded`, or a JSONL file with `suite`, `metric`, `question`, `images`, `answers`."""
    questions: Positive = 300
    """Per suite and round."""
    batch: Positive = 128
    """Questions per batch; each gets one greedy response."""
    main: tuple[str, ...] = ("chart", "document", "perception")
    """The suites whose unweighted mean decides."""
    beside: tuple[str, ...] = ("easy_vqa", "unseen")
    """Shown, but not part of the mean."""
    seed: int = 0
    """Draws the embedded suites."""
    harness: Literal["none", "lmms-eval"] = "none"
    """`lmms-eval` runs `tasks` beside the suites; it has an environment of its own, see docs/evaluation.md."""
    tasks: tuple[str, ...] = ()
    """Tasks of the harness, the first `questions` of each; those that are named in `main` too are part of the mean."""
    task_files: str | None = None
    """A folder with own task files of the harness."""
    response: Literal["answer", "text"] = "answer"
    """The final `answer` where `sampling.answer_pattern` finds one, else all but the thinking; or all `text`."""
    time_limit_s: Positive = 36_000
    """Seconds after which a task of the harness is ended."""

    @model_validator(mode="after")
    def _tasks_have_a_harness(self) -> Self:
        if self.tasks and self.harness == "none":
            raise ValueError(f'evaluation.tasks = {list(self.tasks)} need a harness: set harness = "lmms-eval"')
        if self.harness != "none" and not self.tasks:
            raise ValueError(f"evaluation.harness = {self.harness!r} has nothing to run: name evaluation.tasks")
        return self

    def own(self) -> Evaluation:
        """The suites of our own, without the harness and its tasks."""
        kept = {name: tuple(suite for suite in getattr(self, name) if suite not in self.tasks) for name in SUITE_LISTS}
        return self.model_copy(update={**kept, "harness": "none", "tasks": (), "task_files": None})


class Promotion(Section):
    """When a candidate replaces the student, and when the campaign stops."""

    level: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.9
    """Confidence of the paired interval whose lower end must exceed `-tolerance`."""
    tolerance: Annotated[float, Field(ge=0.0)] = 0.0
    """How far below zero that lower end may be."""
    patience: Positive = 3
    """Rounds in a row without promotion after which the campaign stops."""
    min_delta_share: Share = 0.02
    """Below this share of delta prompts the pool is exhausted, and the campaign ends."""


class Tracking(Section):
    """MLflow."""

    mlflow: bool = True
    """Whether rounds are shown in `<home>/mlflow.db`."""
    system_metrics: bool = True
    """Whether what the machine does meanwhile (CPU, memory, disk, network, GPUs) is shown with each round."""


StageName = Literal[
    "campaign",
    "pool",
    "baseline_teacher",
    "baseline_student",
    "score",
    "target",
    "synthesize",
    "select",
    "distill",
    "evaluate",
    "judge",
    "close",
]


class Limits(Section):
    """What may be spent: a limit that is reached ends the run normally, a higher one goes on (docs/reliability.md)."""

    samples: dict[StageName, Positive] = {}  # noqa: RUF012 - pydantic copies it
    """Responses drawn, by stage (of each round), or `campaign` for all: `{ score = 20_000, campaign = 100_000 }`."""
    tokens: dict[StageName, Positive] = {}  # noqa: RUF012 - pydantic copies it
    """Tokens of these responses, and of training when it has ended; likewise."""
    seconds: dict[StageName, Positive] = {}  # noqa: RUF012 - pydantic copies it
    """Time spent; likewise."""
    free_disk_mb: Count = 200
    """No stage starts with less free on the disk of the home."""
    memory_mb: Count = 0
    """No pool is held that would take more memory, models not counted; 0: than the machine, or the container, has."""


class CampaignSettings(Section):
    """Everything that a campaign file may say."""

    name: Name
    """What the ledger and the commands call the campaign."""
    seed: int = 0
    """Every random draw is derived from it."""
    rounds: Count = 3
    """After the preparation; a later run may raise it."""
    models: Models = Models()
    engines: Engines = Engines()
    pool: Pool = Pool()
    embedding: Embedding = Embedding()
    sampling: Sampling = Sampling()
    answers: Answers = Answers()
    scoring: Scoring = Scoring()
    adaptive: Adaptive = Adaptive()
    targeting: Targeting = Targeting()
    synthesis: Synthesis = Synthesis()
    generation: Generation = Generation()
    selection: Selection = Selection()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    promotion: Promotion = Promotion()
    tracking: Tracking = Tracking()
    limits: Limits = Field(default=Limits(), exclude=True)  # not recorded: what is found does not depend on it
    service: Serving = Field(default=Serving(), exclude=True)  # likewise

    @model_validator(mode="after")
    def _one_place_for_each_model(self) -> Self:
        for role in Engines.model_fields:
            spread = getattr(getattr(self.engines, role), "device_map", "none")
            if spread != "none" and self.models.device != "auto":
                raise ValueError(
                    f"engines.{role}.device_map = {spread!r} spreads the model over all GPUs, and models.device ="
                    f" {self.models.device!r} names one: leave one of the two out"
                )
        return self

    @model_validator(mode="after")
    def _the_teacher_can_be_asked(self) -> Self:
        training, kind = self.training, self.engines.teacher.kind
        if training.mode == "off_policy":
            return self
        if training.backend == "trl" and kind != "transformers":
            raise ValueError(
                f'training.backend = "trl" needs the teacher in this process, and engines.teacher.kind = {kind!r} puts'
                ' it elsewhere: set backend to "deltaloop"'
            )
        if training.hardware.is_launched and kind == "vllm":
            raise ValueError(
                "training.hardware.processes and accelerate_config start processes, each of which would need a vLLM"
                ' engine of its own: set engines.teacher.kind to "server" or "transformers"'
            )
        return self

    @model_validator(mode="after")
    def _charts_need_a_model(self) -> Self:
        if self.generation.charts and self.synthesis.synthesizer != "model":
            raise ValueError(
                f"generation.charts = {self.generation.charts} needs a generator, and synthesis.synthesizer ="
                f' {self.synthesis.synthesizer!r} is none: say "model", or 0 charts'
            )
        return self

    def candidates(self, origin: Origin) -> int:
        """How many candidates a source of new prompts is asked for per round."""
        return {
            Origin.SEED_GUIDED: self.synthesis.seed_guided,
            Origin.SKILL_GUIDED: self.synthesis.skill_guided,
            Origin.NEW_CHART: self.generation.charts,
        }[origin]

    def most_candidates(self) -> int:
        """What the source that is asked for most is asked for: the budget that regions share."""
        return max(self.candidates(origin) for origin in (Origin.SEED_GUIDED, Origin.SKILL_GUIDED, Origin.NEW_CHART))

    def identity(self) -> str:
        """Digest of the pair and the seed: a campaign with another identity is another campaign."""
        parts = {"teacher": self.models.teacher, "student": self.models.student, "seed": self.seed}
        adapters = {role: getattr(getattr(self.engines, role), "adapter", None) for role in ("teacher", "student")}
        return digest_of(parts | {f"{role}_adapter": adapter for role, adapter in adapters.items() if adapter})


def load_settings(path: Path, overrides: Sequence[str] = ()) -> CampaignSettings:
    """Read a campaign file; `overrides` are `section.key=value` in TOML syntax.

    Paths in it are relative to the file, and come back absolute. UsageError names the key, the value and the remedy.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such campaign file; `deltaloop init DIR` writes one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not readable as TOML: {error}") from error
    for text in overrides:
        override(data, text)
    data.pop(TUNE, None)  # read by loop/tune_settings.py: no part of what a stage depends on
    return with_paths(parse_settings(data, where=str(path)), path)


def parse_settings(data: Mapping[str, Any], *, where: str) -> CampaignSettings:
    """Validate, with an error that a person can act on."""
    try:
        return CampaignSettings.model_validate(data)
    except ValidationError as error:
        raise UsageError("; ".join(_explain(where, entry) for entry in error.errors())) from None


def _explain(where: str, entry: Any) -> str:
    loc = entry["loc"]
    if loc[:1] == ("engines",):  # after the role, pydantic names the kind of engine, which is no table
        loc = (*loc[:2], *loc[3:])
    key = ".".join(str(part) for part in loc)
    if not key:  # what concerns several keys names them itself
        return f"{where}: {entry['msg'].removeprefix('Value error, ')}"
    if entry["type"] == "extra_forbidden":
        return (
            f"{where}: unknown key `{key}` (value {entry['input']!r}); remove it, or see `deltaloop init` for the keys"
        )
    if entry["type"] == "missing":
        return f"{where}: the key `{key}` is missing; add it"
    return f"{where}: `{key}` = {entry['input']!r}: {entry['msg']}; correct the value"


def override(data: dict[str, Any], text: str) -> None:
    """Change settings, as TOML gives them, by `section.key=value`. UsageError if it is none."""
    key, found, value = text.partition("=")
    if not found:
        raise UsageError(f"--set {text}: expected section.key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise UsageError(f"--set {text}: `{parent}` is not a table")
    data[leaf] = parsed
