"""Every hour: a look at what changes by itself, so that its assets and checks are no older than that."""

import dagster as dg

from qflow_dagster.jobs.coordination import observe_coordination
from qflow_dagster.jobs.operations import observe_operations

operations_each_hour = dg.ScheduleDefinition(
    name="operations_each_hour",
    job=observe_operations,
    cron_schedule="12 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks at approvals, errors, breakers and health: the assets and their checks.",
)

coordination_each_hour = dg.ScheduleDefinition(
    name="coordination_each_hour",
    job=observe_coordination,
    cron_schedule="22 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks at task graphs, goals and agents: the assets and their checks.",
)

schedules = [operations_each_hour, coordination_each_hour]
