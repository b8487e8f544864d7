"""The sensor of rule evolution: enough new decisions to learn from.

That an approved change of a rule is carried out, `approval_decisions` sees to.
"""

import dagster as dg

from qflow_dagster.evolution import outcomes
from qflow_dagster.jobs.evolution import evolve_rules
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors.drains import drain
from qflow_dagster.settings import settings


@dg.sensor(
    job=evolve_rules,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Decisions no rule has learnt from: once there are enough, requests one run that evolves the rules.",
)
def new_outcomes(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """One run, however many."""
    with database.engine().connect() as connection:
        waiting = outcomes.count_pending(connection)
    enough = settings().evolution.outcomes
    if waiting < enough:
        return dg.SensorResult(skip_reason=f"{waiting} new decisions, {enough} are waited for")
    wanted, why = drain(context, True, evolve_rules.name)
    return dg.SensorResult(
        run_requests=[dg.RunRequest()] if wanted else [], skip_reason=None if wanted else why
    )


sensors = [new_outcomes]
