"""The hourly summary of task graphs, goals and agents, which change by themselves."""

import dagster as dg

from qflow_dagster.jobs.execution import observe_coordination

coordination_each_hour = dg.ScheduleDefinition(
    name="coordination_each_hour",
    job=observe_coordination,
    cron_schedule="22 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Summarizes task graphs, goals and agents: materializes the assets and runs their checks.",
)

schedules = [coordination_each_hour]
