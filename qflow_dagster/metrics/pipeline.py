"""The metrics pipeline: every metric of a snapshot, in the order in which they depend on each other.

Does not belong here: the metrics themselves (a module each), the record of what was computed (`store`).
"""

import importlib
from typing import TYPE_CHECKING

from sqlalchemy import Engine

if TYPE_CHECKING:
    from qflow_dagster.metrics.store import MetricResult

METRICS = ("functions", "files", "changes", "coupling", "duplication", "hotspots", "repository")


def compute(engine: Engine, snapshot_id: int, metric: str) -> "MetricResult":
    """Compute a metric of the snapshot, unless it was computed before."""
    # pandas takes half a second to import, and most processes that know the metrics compute none.
    from qflow_dagster.metrics.store import compute_once

    module = importlib.import_module(f"qflow_dagster.metrics.{metric}")
    return compute_once(engine, snapshot_id, metric, getattr(module, f"compute_{metric}"))


def compute_all(engine: Engine, snapshot_id: int) -> None:
    """Compute all metrics of the snapshot that were not computed before."""
    for metric in METRICS:
        compute(engine, snapshot_id, metric)
