"""Sensors on approvals: use granted ones, and warn people of those about to expire."""

import time
from functools import partial

import dagster as dg

from qflow_dagster.approvals import records, reminders
from qflow_dagster.jobs.approvals import CONSUMERS
from qflow_dagster.registry import Queue
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors.drains import decide, recent_runs
from qflow_dagster.sensors.wakes import woken_by


@dg.sensor(
    jobs=list(CONSUMERS.values()),
    minimum_interval_seconds=60,
    metadata=woken_by(Queue.APPROVAL_NOTIFICATIONS, Queue.WORKFLOW_APPROVAL_NOTIFICATIONS),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Granted and unused approvals: requests a run of the job that uses approvals of the kind.",
)
def approval_decisions(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """Request a run per kind, regardless of the number of unused approvals."""
    requests, reasons = [], []
    with database.engine().connect() as connection:
        newest = {kind: records.newest_approved(connection, kind) for kind in CONSUMERS}
        times = {kind: records.newest_approval_time(connection, kind) for kind in CONSUMERS}
    for kind, job in CONSUMERS.items():
        recent = recent_runs(context, job.name) if newest[kind] is not None else []
        request, reason = decide(newest[kind] is not None, recent, time.time(), partial(times.get, kind))
        reasons.append(f"{kind}: {reason}")
        if request:
            requests.append(dg.RunRequest(job_name=job.name, tags={"qflow/approval": str(newest[kind])}))
    return dg.SensorResult(run_requests=requests, skip_reason=None if requests else "; ".join(reasons))


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Warns of approvals about to expire. (`expired_leases` lets them expire.)",
)
def approval_expiry(context: dg.SensorEvaluationContext, database: Database) -> dg.SkipReason:
    """Send the warnings in the tick itself; no run is needed."""
    with database.engine().begin() as connection:
        warned = reminders.warn_of_expiry(connection)
    return dg.SkipReason(f"{len(warned)} approvals are about to expire")


sensors = [approval_decisions, approval_expiry]
