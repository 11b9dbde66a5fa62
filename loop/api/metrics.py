"""Numbers for Prometheus, read from the ledger when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from loop.status import accuracy_before, summary_of
from store.records import Status

if TYPE_CHECKING:
    from loop.bootstrap import Home
    from loop.service import JobState


def registry(home: Home, jobs: Callable[[], list[JobState]]) -> CollectorRegistry:
    """All metrics of a service: its campaigns, its jobs, its process."""
    made = CollectorRegistry()
    made.register(_Campaigns(home))
    made.register(_Jobs(jobs))
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    return made


class _Campaigns(Collector):
    def __init__(self, home: Home) -> None:
        self._home = home

    def describe(self) -> list[Metric]:
        """Nothing is asked of the ledger to find out the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """How far campaigns have come, and what they found."""
        status = GaugeMetricFamily(
            "deltaloop_campaign_status", "1 for the status it has.", labels=["campaign", "status"]
        )
        paused = GaugeMetricFamily("deltaloop_campaign_paused", "Whether it is paused.", labels=["campaign"])
        rounds = GaugeMetricFamily("deltaloop_rounds_completed", "Rounds.", labels=["campaign"])
        seconds = CounterMetricFamily("deltaloop_stage_seconds", "Time in stages.", labels=["campaign", "stage"])
        spent = CounterMetricFamily("deltaloop_spent", "What was paid for, by unit.", labels=["campaign", "unit"])
        delta = GaugeMetricFamily("deltaloop_delta_mean", "Mean Δ of the last scored pool, nats.", labels=["campaign"])
        zero = GaugeMetricFamily("deltaloop_zero_delta_share", "Share of it without Δ.", labels=["campaign"])
        accuracy = GaugeMetricFamily("deltaloop_accuracy", "Mean accuracy of the kept student.", labels=["campaign"])
        for row in self._home.ledger.campaigns():
            told = summary_of(self._home.ledger, self._home.blobs, row, self._home.paths.summaries)
            for name in Status:
                status.add_metric([row.name, name], float(told["status"] == name))
            paused.add_metric([row.name], float(told["order"] == "pause"))
            rounds.add_metric([row.name], sum(entry["status"] == Status.COMPLETED for entry in told["rounds"]))
            for stage, total in _totals(told).items():
                seconds.add_metric([row.name, stage], total)
            for unit, total in _spent(told).items():
                spent.add_metric([row.name, unit], total)
            scored = [entry["delta"] for entry in told["rounds"] if entry["delta"]["mean"] is not None]
            if scored:
                delta.add_metric([row.name], scored[-1]["mean"])
                zero.add_metric([row.name], scored[-1]["zero_share"])
            kept = accuracy_before(told, len(told["rounds"]) + 1)
            if kept is not None:
                accuracy.add_metric([row.name], kept)
        yield from (status, paused, rounds, seconds, spent, delta, zero, accuracy)


class _Jobs(Collector):
    def __init__(self, jobs: Callable[[], list[JobState]]) -> None:
        self._jobs = jobs

    def describe(self) -> list[Metric]:
        """As above."""
        return []

    def collect(self) -> Iterator[Metric]:
        """How the jobs of the service went the last time."""
        begun = GaugeMetricFamily("deltaloop_job_begun_timestamp_seconds", "Start of the last run.", labels=["job"])
        took = GaugeMetricFamily("deltaloop_job_seconds", "Time that it took.", labels=["job"])
        failed = GaugeMetricFamily("deltaloop_job_failed", "Whether it failed.", labels=["job"])
        for job in self._jobs():
            if job.last is not None:
                begun.add_metric([job.name], datetime.fromisoformat(job.last.at).timestamp())
                took.add_metric([job.name], job.last.seconds)
                failed.add_metric([job.name], float(job.last.error is not None))
        yield from (begun, took, failed)


def _totals(told: dict[str, Any]) -> dict[str, float]:
    """Seconds by stage, of all rounds."""
    totals: dict[str, float] = {}
    for entry in told["rounds"]:
        for stage in entry["stages"]:
            totals[stage["name"]] = totals.get(stage["name"], 0.0) + stage["seconds"]
    return totals


def _spent(told: dict[str, Any]) -> dict[str, float]:
    """What all rounds spent, by unit; what is not known yet counts nothing."""
    totals: dict[str, float] = {}
    for entry in told["rounds"]:
        for unit, number in entry["spent"].items():
            totals[unit] = totals.get(unit, 0.0) + (number or 0)
    return totals
