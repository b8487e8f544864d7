"""Let rules learn every night, and mine histories for new ones every week."""

import dagster as dg

from qflow_dagster.jobs.evolution import evolve_rules, mine_rules

nightly_evolution = dg.ScheduleDefinition(
    name="nightly_evolution",
    job=evolve_rules,
    cron_schedule="0 5 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Rules learn from the day, few decisions or many; trials that are over end.",
)

weekly_mining = dg.ScheduleDefinition(
    name="weekly_mining",
    job=mine_rules,
    cron_schedule="0 6 * * 0",
    # Minutes of every core for each repository, and it sends requests to people: whoever wants that turns it on.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Mines every repository's history for rules.",
)

schedules = [nightly_evolution, weekly_mining]
