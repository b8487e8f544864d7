"""The metrics pipeline: every metric of a snapshot, in the order in which they depend on each other.

Does not belong here: the metrics themselves (a module each), the record of what was computed (`store`).
"""

from collections.abc import Callable, Mapping

from sqlalchemy import Engine

from qflow_dagster.metrics.changes import compute_changes
from qflow_dagster.metrics.coupling import compute_coupling
from qflow_dagster.metrics.duplication import compute_duplication
from qflow_dagster.metrics.files import compute_files
from qflow_dagster.metrics.functions import compute_functions
from qflow_dagster.metrics.hotspots import compute_hotspots
from qflow_dagster.metrics.repository import compute_repository
from qflow_dagster.metrics.store import MetricResult, compute_once

COMPUTATIONS: Mapping[str, Callable[[Engine, int], MetricResult]] = {
    "functions": compute_functions,
    "files": compute_files,
    "changes": compute_changes,
    "coupling": compute_coupling,
    "duplication": compute_duplication,
    "hotspots": compute_hotspots,
    "repository": compute_repository,
}


def compute_all(engine: Engine, snapshot_id: int) -> None:
    """Compute all metrics of the snapshot that were not computed before."""
    for name, compute in COMPUTATIONS.items():
        compute_once(engine, snapshot_id, name, compute)
