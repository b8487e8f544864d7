"""Sensors on the tables of approvals, errors and notifications.

Each looks at one indexed query and requests at most one run per job; the run claims the rows.
"""

import dagster as dg
from sqlalchemy import text

from qflow_dagster.approvals import arbiter, records
from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.jobs.operations import CONSUMERS, analyze_errors, deliver_notifications
from qflow_dagster.notifications.endpoints import CONSUMER
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors.drains import drain

# Seconds a notification may wait before a run delivers it: a notifier would have taken it by then.
NOTIFIER_LATE = 60.0


@dg.sensor(
    jobs=list(CONSUMERS.values()),
    # The daemon's own pace: somebody has just decided and waits.
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Approved and unused: requests one run of the job that uses approvals of the kind.",
)
def approval_decisions(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """One run per kind, however many approvals wait."""
    requests, said = [], []
    with database.engine().connect() as connection:
        newest = {kind: records.newest_approved(connection, kind) for kind in CONSUMERS}
    for kind, job in CONSUMERS.items():
        wanted, why = drain(context, newest[kind] is not None, job.name)
        said.append(f"{kind}: {why}")
        if wanted:
            requests.append(dg.RunRequest(job_name=job.name, tags={"qflow/approval": str(newest[kind])}))
    return dg.SensorResult(run_requests=requests, skip_reason=None if requests else "; ".join(said))


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Warns of approvals about to expire. (That they expire, `expired_leases` sees to.)",
)
def approval_expiry(context: dg.SensorEvaluationContext, database: Database) -> dg.SkipReason:
    """A statement, no run."""
    with database.engine().begin() as connection:
        warned = arbiter.warn_of_expiry(connection)
    return dg.SkipReason(f"{len(warned)} approvals are about to expire")


@dg.sensor(
    job=analyze_errors,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="New rows in error_occurrences, whoever wrote them: requests one run that analyses them.",
)
def new_errors(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """Also takes note of what is well again: that needs no run."""
    with database.engine().begin() as connection:
        newest = error_records.newest_unanalysed(connection)
        recovered = error_analysis.recover(connection)
    wanted, why = drain(context, newest is not None, analyze_errors.name)
    requests = [dg.RunRequest(tags={"qflow/occurrence": str(newest)})] if wanted else []
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else f"{why}; {len(recovered)} operations are well again",
    )


@dg.sensor(
    job=deliver_notifications,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notifications nobody delivers: requests a run that does, where no notifier is running.",
)
def undelivered_notifications(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """A message of a queue with endpoints, or a delivery, that has waited for a minute."""
    query = text("""
        SELECT EXISTS (
            SELECT FROM workflows WHERE type = 'notification' AND claimable AND remaining_dependencies = 0
            AND available_at < statement_timestamp() - make_interval(secs => :late)
        ) OR EXISTS (
            SELECT FROM (SELECT DISTINCT queue FROM notification_endpoints) e
            JOIN subscriptions s ON s.queue = e.queue AND s.consumer = :consumer
            CROSS JOIN LATERAL (
                SELECT created_at FROM messages m WHERE m.queue = e.queue AND (m.xact, m.id) > (s.xact, s.id)
                ORDER BY m.xact, m.id LIMIT 1
            ) AS oldest
            WHERE oldest.created_at < statement_timestamp() - make_interval(secs => :late)
        )
    """)
    with database.engine().connect() as connection:
        waiting = bool(connection.scalar(query, {"late": NOTIFIER_LATE, "consumer": CONSUMER}))
    wanted, why = drain(context, waiting, deliver_notifications.name)
    return dg.SensorResult(
        run_requests=[dg.RunRequest()] if wanted else [], skip_reason=None if wanted else why
    )


sensors = [approval_decisions, approval_expiry, new_errors, undelivered_notifications]
