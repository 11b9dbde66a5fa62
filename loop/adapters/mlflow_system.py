"""What the machine does while a round runs, in MLflow: CPU, memory, disk, network and GPUs, as MLflow measures them.

A thread measures every ten seconds (`MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`), while the run says that it runs.
"""

from __future__ import annotations

from typing import Any


class SystemMetrics:
    """Follows one run at a time."""

    def __init__(self, uri: str) -> None:
        """`uri` is MLflow's database."""
        self._uri = uri
        self._monitor: Any = None

    def follow(self, run: str) -> None:
        """Measure for a run from now on; the steps of a run that was interrupted go on."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self.stop()
        self._monitor = SystemMetricsMonitor(run, resume_logging=True, tracking_uri=self._uri)
        self._monitor.start()

    def stop(self) -> None:
        """Measure no more."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
