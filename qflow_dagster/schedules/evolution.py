"""The nightly evolution of rules, and the weekly mining of histories for new ones."""

import dagster as dg

from qflow_dagster.jobs.evolution import evolve_rules, mine_rules

nightly_evolution = dg.ScheduleDefinition(
    name="nightly_evolution",
    job=evolve_rules,
    cron_schedule="0 5 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Evolves rules from the outcomes of the day, and ends trials whose time is over.",
)

weekly_mining = dg.ScheduleDefinition(
    name="weekly_mining",
    job=mine_rules,
    cron_schedule="0 6 * * 0",
    # Off by default: it takes minutes on all cores for each repository, and sends approval requests to people.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Mines every repository's history for rules.",
)

schedules = [nightly_evolution, weekly_mining]
