"""Sensors of the improvement loop: edits left unverified, and texts that were approved.

That an approved edit is applied, `approval_decisions` sees to.
"""

import dagster as dg
from sqlalchemy import text

from qflow_dagster.execution.work_chunks import DECISION
from qflow_dagster.jobs.improvement import apply_approved_edits, plan_approved_work
from qflow_dagster.quantumflow import due
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors.drains import drain


@dg.sensor(
    job=apply_approved_edits,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Edits not verified, or suspected of new errors: requests one run that looks at them.",
)
def unverified_edits(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """A run was killed between applying and verifying, or the verification failed."""
    query = text("""
        SELECT EXISTS (SELECT FROM edits WHERE verified_at IS NULL AND reverted_at IS NULL
                       AND applied_at < clock_timestamp() - interval '30 s')
            OR EXISTS (SELECT FROM edits e JOIN error_groups g ON g.suspect ->> 'commit' = e.commit_oid
                       WHERE e.reverted_at IS NULL AND e.applied_at > clock_timestamp() - interval '10 min'
                         AND g.last_seen >= e.applied_at)
    """)
    with database.engine().connect() as connection:
        waiting = bool(connection.scalar(query))
    wanted, why = drain(context, waiting, apply_approved_edits.name)
    return dg.SensorResult(
        run_requests=[dg.RunRequest()] if wanted else [], skip_reason=None if wanted else why
    )


@dg.sensor(
    job=plan_approved_work,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Texts approved to become work: requests one run that plans them.",
)
def approved_work(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """One run, however many."""
    with database.engine().connect() as connection:
        waiting = due(connection, [DECISION])
    wanted, why = drain(context, waiting, plan_approved_work.name)
    return dg.SensorResult(
        run_requests=[dg.RunRequest()] if wanted else [], skip_reason=None if wanted else why
    )


sensors = [unverified_edits, approved_work]
