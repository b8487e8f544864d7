"""Sensors on assignments and edits. (`approval_decisions` requests the run that applies approved edits.)"""

from sqlalchemy import Connection

from qflow_dagster.agents import assignments, builtin_agents, edit_lifecycle, edit_verification
from qflow_dagster.jobs.agents import apply_approved_edits, work_assignments
from qflow_dagster.registry import Queue
from qflow_dagster.sensors.drains import drain_sensor, newest_of


def has_assignments(connection: Connection) -> bool:
    """Route assignments, which is quick; return whether any are pending for the built-in agents."""
    builtin_agents.register_all(connection)
    assignments.route(connection)
    return assignments.has_unclaimed(connection, [agent.name for agent in builtin_agents.capabilities()])


def has_unobserved(connection: Connection) -> bool:
    """Return whether edits are to be verified, or compared with a target branch that was ingested since."""
    return edit_lifecycle.has_uncompared(connection) or edit_verification.has_unverified(connection)


unverified_edits = drain_sensor(
    "unverified_edits",
    apply_approved_edits,
    has_unobserved,
    "Edits that are not verified, are suspected of new errors, or whose repository has a new commit: requests a run "
    "that verifies them and compares them with their target branch.",
    woken_by=[Queue.CODE_INGESTION_NOTIFICATIONS],
    interval=60,
)
open_assignments = drain_sensor(
    "open_assignments",
    work_assignments,
    has_assignments,
    "Routes assignments in the tick; requests a run for those of the built-in agents.",
    newest=newest_of(assignments.TYPE),
    woken_by=[Queue.AGENT_COORDINATION_NOTIFICATIONS],
)

sensors = [unverified_edits, open_assignments]
