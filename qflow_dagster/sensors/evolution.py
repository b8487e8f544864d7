"""The sensor of rule evolution. (`approval_decisions` requests the run that carries out approved changes.)"""

from sqlalchemy import Connection

from qflow_dagster.evolution import outcomes
from qflow_dagster.jobs.evolution import evolve_rules
from qflow_dagster.sensors.drains import Pending, drain_sensor
from qflow_dagster.settings import settings


def enough_outcomes(connection: Connection) -> Pending:
    """Return whether there are at least as many new decisions as configured."""
    new = outcomes.count_pending(connection)
    needed = settings().evolution.outcomes
    return Pending(new >= needed, f"{new} new decisions, {needed} are waited for")


new_outcomes = drain_sensor(
    "new_outcomes",
    evolve_rules,
    enough_outcomes,
    "Decisions that no rule has learned from: once there are enough, requests a run that evolves the rules.",
    interval=60,
)

sensors = [new_outcomes]
