"""The whole factory on one screen: what Dagster loads, and how tests and the CLI vary it."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from qflow_dagster.assets import coordination, evolution, improvement, ingestion, metrics, operations
from qflow_dagster.checks import coordination as coordination_checks
from qflow_dagster.checks import evolution as evolution_checks
from qflow_dagster.checks import ingestion as ingestion_checks
from qflow_dagster.checks import metrics as metrics_checks
from qflow_dagster.checks import operations as operations_checks
from qflow_dagster.jobs import coordination as coordination_jobs
from qflow_dagster.jobs import evolution as evolution_jobs
from qflow_dagster.jobs import improvement as improvement_jobs
from qflow_dagster.jobs import maintenance, repository
from qflow_dagster.jobs import operations as operations_jobs
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.schedules import health, nightly, observation
from qflow_dagster.sensors import coordination as coordination_sensors
from qflow_dagster.sensors import dead_runs, leases, repository_commits, requested_runs, run_failures
from qflow_dagster.sensors import evolution as evolution_sensors
from qflow_dagster.sensors import improvement as improvement_sensors
from qflow_dagster.sensors import operations as operations_sensors


def build_definitions(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """A fresh set of all definitions; `resources` replaces resources by name."""
    return dg.Definitions(
        assets=[
            *ingestion.assets,
            *metrics.assets,
            *improvement.assets,
            *evolution.assets,
            *coordination.assets,
            *operations.assets,
        ],
        asset_checks=[
            *ingestion_checks.checks,
            *metrics_checks.checks,
            *evolution_checks.checks,
            *coordination_checks.checks,
            *operations_checks.checks,
        ],
        jobs=[
            *repository.jobs,
            *maintenance.jobs,
            *improvement_jobs.jobs,
            *evolution_jobs.jobs,
            *coordination_jobs.jobs,
            *operations_jobs.jobs,
        ],
        sensors=[
            *repository_commits.sensors,
            *leases.sensors,
            *dead_runs.sensors,
            *operations_sensors.sensors,
            *improvement_sensors.sensors,
            *evolution_sensors.sensors,
            *coordination_sensors.sensors,
            *requested_runs.sensors,
            *run_failures.sensors,
        ],
        schedules=[*nightly.schedules, *health.schedules, *observation.schedules],
        resources={"database": Database(), "progress": Progress(), **(resources or {})},
        # A step in a process of its own costs seconds of imports; work that wants processes
        # (parsing) makes its own. Deployments choose another executor by configuration.
        executor=dg.in_process_executor,
    )


definitions = build_definitions()
