"""The MLflow side of the tracker: runs found or made by their tags, and facts that are written at most once.

    <home>/mlflow.db      experiment `deltaloop`: a run per campaign, and under it a run per round
    <home>/artifacts/     figures and checkpoints of these runs

Only `MlflowClient` with explicit run ids: the fluent API keeps a stack of active runs per thread, which a service does
not want. Every write here first looks at what is there, so that writing a fact again changes nothing.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

EXPERIMENT = "deltaloop"
PARENT = "mlflow.parentRunId"
COMMIT, BRANCH, GIT_DIRTY = (f"mlflow.source.git.{name}" for name in ("commit", "branch", "dirty"))
DESCRIPTION = "mlflow.note.content"
TABLES = "mlflow.loggedArtifacts"
"""Tag by which MLflow's pages know which files of a run are tables."""
CAMPAIGN, CREATED, ROUND, DIRTY, PROCESS = (
    f"deltaloop.{name}" for name in ("campaign", "created", "round", "dirty", "process")
)
VERSION = "deltaloop.evaluated"
STUDY, TRIAL = "deltaloop.study", "deltaloop.trial"
METRICS_A_BATCH, ENTRIES_A_BATCH = 1000, 100
"""MLflow's own limits of one `log_batch`."""
DIGEST_LENGTH = 36
"""MLflow's own limit of a dataset's digest."""
COPY_AT_MOST_BYTES = 64 * 2**20
"""Checkpoints up to this size are copied into the artifacts; larger ones are named by digest and folder only."""


@dataclass(frozen=True)
class Point:
    """One number of a curve."""

    key: str
    value: float
    step: int


class MlflowBook:
    """Runs, metrics, data sets, models and files of one home. Whatever fails raises; the tracker catches."""

    def __init__(self, home: Path) -> None:
        """Open the database, making it first if there is none: about 5 s then, most of it imports and migrations.

        sqlite3.Error where the file cannot be opened or is no database.
        """
        home = home.resolve()
        artifacts = home / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        database = home / "mlflow.db"
        # MLflow tries ten times, for 100 seconds, before it gives up on such a file.
        with closing(sqlite3.connect(database, timeout=5.0)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
            connection.execute("BEGIN IMMEDIATE").close()
        self.uri = f"sqlite:///{database}"
        self.client = _client(self.uri)
        self._experiment = self._find_experiment(artifacts)

    def _find_experiment(self, artifacts: Path) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            made: str = self.client.create_experiment(EXPERIMENT, artifact_location=artifacts.as_uri())
            return made
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    # runs
    def campaign_run(self, campaign: str, created: str) -> str:
        """Id of the run of a campaign; `created` tells campaigns of one name apart."""
        tags = {CAMPAIGN: campaign, CREATED: created}
        found = [run for run in self._search(tags) if ROUND not in run.data.tags]
        return str(found[0].info.run_id) if found else self._create(campaign, tags, "A campaign: a point per round.")

    def round_run(self, campaign_run: str, campaign: str, created: str, round: int) -> str:
        """Id of the run of a round."""
        tags = {PARENT: campaign_run, CAMPAIGN: campaign, CREATED: created, ROUND: str(round)}
        found = self._search(tags)
        name = f"round {round}" if round else "round 0: preparation"
        did = "score, target, synthesize, select, distill, evaluate, judge" if round else "pool, both baselines"
        said = f"Round {round} of `{campaign}`: {did}."
        return str(found[0].info.run_id) if found else self._create(name, tags, said)

    def version_run(self, version: str, parent: str | None) -> str:
        """Id of the run of evaluations of a version that belong to no round; `parent` is its campaign's run."""
        tags = {VERSION: version} | ({PARENT: parent} if parent else {})
        said = f"Evaluations of version `{version}` that belong to no round: accuracy by suite."
        found = self._search(tags)
        return str(found[0].info.run_id) if found else self._create(f"evaluation of {version[:12]}", tags, said)

    def study_run(self, campaign: str) -> str:
        """Id of the run of the study that tunes a campaign's budgets."""
        tags = {STUDY: campaign}
        said = f"A study of the budgets of `{campaign}`: a point of each curve per trial."
        found = [run for run in self._search(tags) if PARENT not in run.data.tags]
        return str(found[0].info.run_id) if found else self._create(f"tuning of {campaign}", tags, said)

    def trial_run(self, study_run: str, number: int) -> str:
        """Id of the run of a trial."""
        tags = {PARENT: study_run, TRIAL: str(number)}
        said = (
            f"Trial {number}: the budget of its params in a campaign of its own; `deltaloop.state` says how it ended."
        )
        found = self._search(tags)
        return str(found[0].info.run_id) if found else self._create(f"trial {number}", tags, said)

    def running(self) -> list[Any]:
        """Runs that say they are running."""
        return list(self.client.search_runs([self._experiment], "attributes.status = 'RUNNING'", max_results=1000))

    def reopen(self, run: str) -> None:
        """Mark a run as running, in this process."""
        self.client.update_run(run, "RUNNING")
        self.tag(run, {PROCESS: this_process()})

    def end(self, run: str, status: str) -> None:
        """Mark a run FINISHED, FAILED or KILLED; a run that says so already keeps its end time."""
        if self.client.get_run(run).info.status != status:
            self.client.set_terminated(run, status)

    def _search(self, tags: Mapping[str, str]) -> list[Any]:
        parts = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
        return list(self.client.search_runs([self._experiment], " and ".join(parts), order_by=["start_time ASC"]))

    def _create(self, name: str, tags: Mapping[str, str], description: str = "") -> str:
        source = {"mlflow.source.name": "deltaloop", "mlflow.source.type": "LOCAL", PROCESS: this_process()}
        source |= {DESCRIPTION: description} if description else {}
        run = self.client.create_run(self._experiment, tags={**source, **tags}, run_name=name)
        return str(run.info.run_id)

    # numbers and words
    def tags(self, run: str) -> dict[str, str]:
        """All tags of a run."""
        return dict(self.client.get_run(run).data.tags)

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        """Set tags; earlier values are replaced."""
        from mlflow.entities import RunTag

        self.client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])

    def params(self, run: str, params: Mapping[str, str]) -> None:
        """Set the params that the run does not have yet: MLflow never changes one."""
        from mlflow.entities import Param

        known = self.client.get_run(run).data.params
        missing = [Param(key, value) for key, value in params.items() if key not in known]
        for start in range(0, len(missing), ENTRIES_A_BATCH):
            self.client.log_batch(run, params=missing[start : start + ENTRIES_A_BATCH])

    def points(self, run: str, points: Sequence[Point], *, model: str | None = None) -> None:
        """Log points in batches that are there already or are not; `model` is the logged model they describe.

        A batch is one transaction, so its first point answers for all of it. The same points must come in the same
        order each time.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        for start in range(0, len(points), METRICS_A_BATCH):
            batch = points[start : start + METRICS_A_BATCH]
            if not self._has(run, batch[0]):
                metrics = [Metric(p.key, p.value, now, p.step, model_id=model, run_id=run) for p in batch]
                self.client.log_batch(run, metrics=metrics)

    def _has(self, run: str, point: Point) -> bool:
        return any(metric.step == point.step for metric in self.client.get_metric_history(run, point.key))

    # things
    def dataset(self, run: str, name: str, digest: str, *, context: str, source: str, profile: str) -> None:
        """Name a data set as an input of a run; `source` and `profile` are JSON."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = Dataset(name, digest[:DIGEST_LENGTH], source_type="local", source=source, profile=profile)
        tags = [InputTag("mlflow.data.context", context), InputTag("deltaloop.digest", digest)]
        self.client.log_inputs(run, [DatasetInput(data, tags)])

    def model(self, run: str, version: str, folder: Path | None, *, step: int, tags: Mapping[str, str]) -> str:
        """Id of the logged model of a checkpoint that a run produced, made if there is none; no folder, no files."""
        from mlflow.entities import LoggedModelOutput

        found = self.find_model(run, version)
        if found is not None:
            return found
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder else 0
        model = self.client.create_logged_model(
            self._experiment,
            name=f"student-{version[:12]}",
            source_run_id=run,
            tags={"deltaloop.version": version, "deltaloop.folder": str(folder or ""), **tags},
            params={"bytes": str(size)},
            model_type="student",
        )
        if folder and size <= COPY_AT_MOST_BYTES:
            self.client.log_model_artifacts(model.model_id, str(folder))
        self.client.finalize_logged_model(model.model_id, "READY")
        self.client.log_outputs(run, [LoggedModelOutput(model.model_id, step)])
        return str(model.model_id)

    def find_model(self, run: str, version: str) -> str | None:
        """Id of the finished logged model of a checkpoint that a run produced, or None."""
        found = self.client.search_logged_models([self._experiment], f"tags.`deltaloop.version` = '{version}'")
        ready = [model for model in found if model.source_run_id == run and str(model.status) == "READY"]
        return str(ready[0].model_id) if ready else None

    def table(self, run: str, path: str, table: Mapping[str, Any]) -> None:
        """Write a table ({"columns", "data"}) that MLflow's pages show, replacing one of the same path.

        MLflow's own `log_table` appends to a table that is there, so that a stage written again would double it.
        """
        self.file(run, path, json.dumps(table).encode("ascii"))
        self.tag(run, {TABLES: json.dumps([{"path": path, "type": "table"}])})

    def file(self, run: str, path: str, data: bytes) -> None:
        """Write an artifact of a run, replacing one of the same path."""
        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory() as scratch:
            local = Path(scratch) / name
            local.write_bytes(data)
            self.client.log_artifact(run, str(local), folder or None)


@cache
def this_process() -> str:
    """Host, process id and a token, by which a later process knows whether this one is still alive."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def is_alive(process: str) -> bool:
    """Whether the process that `this_process` named so is there; False for one of another host."""
    host, _, rest = process.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    if int(pid) == os.getpid():  # in containers, a dead process often had the same id
        return process == this_process()
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as params: `pool.size` -> `600`."""
    params: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            params |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            params[f"{prefix}{key}"] = ", ".join(map(str, value))
        else:
            params[f"{prefix}{key}"] = "" if value is None else str(value)
    return params


def _client(uri: str) -> Any:
    # Both are read while mlflow is imported or used: no usage reports, no search for a git binary.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from mlflow.tracking import MlflowClient

    # Its own lines (migrations, a trace per database error) would break the progress bars; errors still raise.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri)
