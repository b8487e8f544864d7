"""Rows of workers that died are returned, and what is due expires: two statements, no run."""

import dagster as dg

from qflow_dagster.quantumflow import expire_due, reclaim_expired
from qflow_dagster.resources.database import Database


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Returns workflows whose worker stopped reporting, expires those whose term is over.",
)
def expired_leases(context: dg.SensorEvaluationContext, database: Database) -> dg.SkipReason:
    """At most a thousand of each in a tick; the next one takes the rest."""
    with database.engine().begin() as connection:
        reclaimed, expired = reclaim_expired(connection), expire_due(connection)
    return dg.SkipReason(f"{len(reclaimed)} leases returned, {len(expired)} workflows expired")


sensors = [expired_leases]
