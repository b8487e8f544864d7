"""Sensors on the tables of tasks, assignments, goals and knowledge requests.

Each asks whether anything waits and requests at most one run, which claims the rows. Does not
belong here: runs that tasks and answers ask for (`requested_runs`).
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.agents import assignments, builtin_agents, sparc_changes
from qflow_dagster.execution import sparc_worker, task_worker
from qflow_dagster.jobs.coordination import (
    answer_knowledge_requests,
    run_task_graphs,
    work_assignments,
    work_on_goals,
)
from qflow_dagster.knowledge import requests
from qflow_dagster.quantumflow import due
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors.drains import drain


def drain_sensor(
    name: str, job: Any, waiting: Callable[[Connection], bool], description: str
) -> dg.SensorDefinition:
    """A sensor that requests a run of `job` while something waits and none is under way."""

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sense(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
        with database.engine().begin() as connection:
            something = waiting(connection)
        wanted, why = drain(context, something, job.name)
        return dg.SensorResult(
            run_requests=[dg.RunRequest()] if wanted else [], skip_reason=None if wanted else why
        )

    return sense


def assignments_wait(connection: Connection) -> bool:
    """Routes, which is quick; whether ours were given something then."""
    builtin_agents.register_all(connection)
    assignments.route(connection)
    return assignments.has_unclaimed(connection, [agent.name for agent in builtin_agents.capabilities()])


def goals_wait(connection: Connection) -> bool:
    """A phase to make, a suggestion that ended, or a target to measure anew."""
    return sparc_worker.waiting(connection) or sparc_changes.decided(connection)


def knowledge_waits(connection: Connection) -> bool:
    """A request that is due, or a rule to be flagged."""
    return due(connection, [requests.TYPE]) or bool(requests.due_follow_ups(connection, "flag", limit=1))


sensors = [
    drain_sensor(
        "ready_tasks",
        run_task_graphs,
        task_worker.waiting,
        "Tasks that are ready, or parts whose whole can go on: requests one run that does them.",
    ),
    drain_sensor(
        "open_assignments",
        work_assignments,
        assignments_wait,
        "Routes assignments in the tick; requests a run for those given to the agents that ship.",
    ),
    drain_sensor(
        "open_goals",
        work_on_goals,
        goals_wait,
        "Goals with a phase to make, a change that was decided, or a target to measure.",
    ),
    drain_sensor(
        "knowledge_requests",
        answer_knowledge_requests,
        knowledge_waits,
        "Knowledge requests that are due and nobody listens for: requests one run that answers them.",
    ),
]
