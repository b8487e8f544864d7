"""The metrics pipeline: every metric of a snapshot, in the order in which they depend on each other.

Does not belong here: the metrics themselves (a module each), the record of what was computed (`store`).
"""

from typing import TYPE_CHECKING

from sqlalchemy import Engine

from qflow_dagster.ingestion import history, repositories
from qflow_dagster.ingestion.history import CountResult
from qflow_dagster.progress import ReportProgress

if TYPE_CHECKING:
    from qflow_dagster.metrics.store import MetricResult

METRICS = ("functions", "files", "changes", "coupling", "duplication", "hotspots", "repository")


def compute(engine: Engine, snapshot_id: int, metric: str) -> "MetricResult":
    """Compute a metric of the snapshot, unless it was computed before."""
    # Imported here: pandas takes half a second, and most processes that know the metrics compute none.
    from qflow_dagster.metrics.changes import compute_changes
    from qflow_dagster.metrics.coupling import compute_coupling
    from qflow_dagster.metrics.duplication import compute_duplication
    from qflow_dagster.metrics.files import compute_files
    from qflow_dagster.metrics.functions import compute_functions
    from qflow_dagster.metrics.hotspots import compute_hotspots
    from qflow_dagster.metrics.repository import compute_repository
    from qflow_dagster.metrics.store import compute_once

    computations = {
        "functions": compute_functions,
        "files": compute_files,
        "changes": compute_changes,
        "coupling": compute_coupling,
        "duplication": compute_duplication,
        "hotspots": compute_hotspots,
        "repository": compute_repository,
    }
    return compute_once(engine, snapshot_id, metric, computations[metric])


def count_lines(engine: Engine, repository_id: int, progress: ReportProgress | None = None) -> CountResult:
    """Count the changed lines that are pending, and compute the metrics again that depend on them."""
    result = history.count_lines(engine, repository_id, progress=progress)
    with engine.connect() as connection:
        snapshot_id = repositories.find_by_id(connection, repository_id).current_snapshot_id
    if snapshot_id is not None:
        for metric in ("changes", "hotspots", "repository"):
            compute(engine, snapshot_id, metric)
    return result


def compute_all(engine: Engine, snapshot_id: int) -> None:
    """Compute all metrics of the snapshot that were not computed before."""
    for metric in METRICS:
        compute(engine, snapshot_id, metric)
