"""Assignments: work for whichever agent fits best, as workflow rows.

Belongs here: the state machine, creating, routing, claiming by an agent, reporting, outcomes. Does not
belong here: how well an agent fits (`coordination`).
"""

import math
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update

from qflow_dagster.agents import coordination
from qflow_dagster.agents.coordination import Requirement
from qflow_dagster.agents.tables import assignments as table
from qflow_dagster.database.locks import lock
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution import task_graph
from qflow_dagster.processes import host_name
from qflow_dagster.quantumflow import (
    Held,
    NewWorkflow,
    StateMachine,
    Workflow,
    claim,
    complete,
    create_workflows,
    fail,
    get_events,
    register,
    resolve,
    transition,
)
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.registry import Lock, Queue, WorkflowTypeName
from qflow_dagster.settings import settings

ACTOR = "router"
MACHINE = StateMachine(
    name="assignment",
    initial="queued",
    transitions={
        "queued": frozenset({"assigned", "failed", "cancelled"}),
        "assigned": frozenset({"running", "queued", "cancelled"}),
        "running": frozenset({"succeeded", "failed", "queued", "cancelled"}),
        "succeeded": frozenset(),
        "failed": frozenset({"queued"}),
        "cancelled": frozenset({"queued"}),
    },
    terminal=frozenset({"succeeded", "failed", "cancelled"}),
    completed="succeeded",
    claimable=frozenset({"assigned"}),
    claimed="running",
    leased=frozenset({"running"}),
    failed="queued",
    dead="failed",
    released="queued",
    cancelled="cancelled",
    # No agent did it within its time to live.
    expired="failed",
)
TYPE = register(
    WorkflowTypeName.ASSIGNMENT, machine=MACHINE, queue=Queue.AGENT_COORDINATION_NOTIFICATIONS
).name
MAX_ATTEMPTS = 3


def create(
    connection: Connection,
    task: Any,
    requirement: Requirement,
    *,
    requested_by: str,
    key: str | None = None,
    priority: int = 0,
    parent_id: UUID | None = None,
    depends_on: Sequence[UUID] = (),
    excluded: Sequence[str] = (),
) -> UUID:
    """Create an assignment for the agent that fits best, none of those `excluded` while another can; return its id.

    With a `key`, a second creation returns the id of the first.

    Raises:
        UsageError: unknown domain or complexity.
    """
    new = NewWorkflow(
        type=TYPE,
        key=key,
        priority=priority,
        parent_id=parent_id,
        depends_on=depends_on,
        max_attempts=MAX_ATTEMPTS,
        ttl=settings().agents.wait,
    )
    describe(connection, new.id, task, requirement, requested_by=requested_by, excluded=excluded)
    [id_] = create_workflows(connection, [new], actor=requested_by)
    if id_ != new.id:
        connection.execute(delete(table).where(table.c.id == new.id))
    return id_


def describe(
    connection: Connection,
    id_: UUID,
    task: Any,
    requirement: Requirement,
    *,
    requested_by: str,
    excluded: Sequence[str] = (),
) -> None:
    """Store what an assignment is about; the caller creates the workflow with that id."""
    if requirement.domain not in coordination.DOMAINS:
        raise UsageError(f"unknown domain {requirement.domain!r}; domains: {', '.join(coordination.DOMAINS)}")
    if requirement.complexity not in coordination.COST_FACTOR:
        raise UsageError(
            f"unknown complexity {requirement.complexity!r}; one of: {', '.join(coordination.COST_FACTOR)}"
        )
    connection.execute(
        insert(table).values(
            id=id_,
            task=to_jsonb(task, "the task"),
            requested_by=requested_by,
            tried=list(excluded),
            **requirement._asdict(),
        )
    )


# Assignments that are queued again although they have an agent: it was killed or went away.
_RELEASE_ABANDONED = text("""
WITH abandoned AS (
    SELECT s.id, s.agent, s.domain FROM assignments s JOIN workflows w ON w.id = s.id
    WHERE w.status = 'queued' AND s.agent IS NOT NULL
    ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
), noted AS (
    INSERT INTO outcomes (agent, domain, success, cost, feedback, assignment_id)
    SELECT agent, domain, false, 0, 'stopped reporting', id FROM abandoned
)
UPDATE assignments s SET agent = NULL, fit = NULL, tried = s.tried || s.agent FROM abandoned
WHERE s.id = abandoned.id
""")
_UNCLAIMED = text("""
SELECT s.id, s.agent FROM assignments s JOIN workflows w ON w.id = s.id
WHERE w.status = 'assigned'
  AND (s.assigned_at < clock_timestamp() - make_interval(secs => :seconds) OR s.agent = ANY(:offline))
ORDER BY s.id FOR UPDATE OF w SKIP LOCKED
""")
_QUEUED = text(f"""
SELECT s.id, s.domain, s.input_type, s.output_type, s.complexity, s.tried
FROM workflows w JOIN assignments s ON s.id = w.id
WHERE w.type = '{TYPE}' AND w.status = 'queued' AND w.remaining_dependencies = 0
  AND w.available_at <= clock_timestamp()
  -- One that was abandoned since the statement before is left to the next routing, which records that first.
  AND s.agent IS NULL
ORDER BY w.priority DESC, w.id LIMIT :limit FOR UPDATE OF w SKIP LOCKED
""")


def route(connection: Connection, *, limit: int = 200) -> int:
    """Give queued assignments to the agents that fit best; return how many were assigned.

    An assignment that was not claimed in time, or whose agent went away, goes to the next best agent. After all
    agents that fit have tried, any of them may get it again, until its attempts are used up.
    """
    # One router at a time: two would count the same free capacity.
    lock(connection, Lock.ASSIGNMENT_ROUTING)
    connection.execute(_RELEASE_ABANDONED)
    agents = coordination.agents(connection)
    offline = [agent.name for agent in agents if agent.availability == "offline"]
    seconds = settings().agents.assign_timeout
    for row in connection.execute(_UNCLAIMED, {"seconds": seconds, "offline": offline}).all():
        why = "is offline" if row.agent in offline else f"did not claim it in {seconds:g} s"
        transition(connection, [row.id], "queued", actor=ACTOR, data={"reason": f"{row.agent} {why}"})
        _unassign(connection, row.id)
    by_name = {agent.name: agent for agent in coordination.agents(connection)}
    assigned = 0
    for row in connection.execute(_QUEUED, {"limit": limit}).all():
        requirement = Requirement(row.domain, row.input_type, row.output_type, row.complexity)
        candidates = coordination.candidates(list(by_name.values()), requirement, row.tried)
        if not candidates and row.tried:
            candidates = coordination.candidates(list(by_name.values()), requirement)
        # An agent at its limit gets no further assignment; it goes to another agent, or waits for the next routing.
        available = [(value, agent) for value, agent in candidates if agent.load < agent.max_assignments]
        if not available:
            continue
        value, agent = available[0]
        considered = [{"agent": other.name, "fit": round(score, 3)} for score, other in candidates]
        data = {"agent": agent.name, "fit": round(value, 3), "considered": considered}
        transition(connection, [row.id], "assigned", actor=ACTOR, data=data)
        connection.execute(
            update(table)
            .where(table.c.id == row.id)
            .values(agent=agent.name, fit=value, assigned_at=func.clock_timestamp())
        )
        by_name[agent.name] = agent._replace(load=agent.load + 1)
        assigned += 1
    return assigned


def claim_assigned(
    connection: Connection, agent: str, *, limit: int = 1, run_id: str | None = None
) -> list[Workflow]:
    """Claim assignments that the router gave to an agent; the `payload` of each holds the task."""
    query = text("""
        SELECT s.id FROM assignments s JOIN workflows w ON w.id = s.id
        WHERE s.agent = :agent AND w.status = 'assigned' ORDER BY w.priority DESC, s.id LIMIT :limit
    """)
    ids = connection.scalars(query, {"agent": agent, "limit": limit}).all()
    if not ids:
        return []
    lease = settings().agents.lease
    claimed = claim(
        connection,
        TYPE,
        worker=f"agent {agent} on {host_name()}",
        limit=limit,
        among=ids,
        lease=lease,
        run_id=run_id,
    )
    tasks = select(table.c.id, table.c.domain, table.c.complexity, table.c.task).where(
        table.c.id.in_([workflow.id for workflow in claimed])
    )
    rows = {row.id: row for row in connection.execute(tasks)}
    return [
        workflow._replace(
            payload={
                "assignment": str(workflow.id),
                "attempt": workflow.attempt,
                "domain": rows[workflow.id].domain,
                "complexity": rows[workflow.id].complexity,
                "task": rows[workflow.id].task,
            }
        )
        for workflow in claimed
    ]


def succeed(
    engine: Engine,
    held: Held,
    agent: str,
    result: Any,
    *,
    cost: float = 0.0,
    quality: float | None = None,
    feedback: str | None = None,
) -> None:
    """Report that an assignment was done.

    Raises:
        LeaseLostError: another agent holds it or has done it; nothing was recorded.
    """
    with engine.begin() as connection:
        complete(connection, [held], [result])
        _record_outcome(connection, held.id, agent, True, cost, quality, feedback)
    _finalize_parent(engine, held.id)


def report_failure(
    engine: Engine, held: Held, agent: str, message: str, *, retry: bool = True, cost: float = 0.0
) -> str:
    """Report that an attempt failed; return the assignment's state: queued (for the next best agent) or failed.

    Raises:
        LeaseLostError: another agent holds it or has done it; nothing was recorded.
    """
    with engine.begin() as connection:
        [status] = fail(
            connection, [held], [{"kind": "agent", "message": message[:4_000], "agent": agent}], retry=retry
        )
        _record_outcome(connection, held.id, agent, False, cost, None, message[:1_000])
        _unassign(connection, held.id)
    _finalize_parent(engine, held.id)
    return status


def _unassign(connection: Connection, id_: UUID) -> None:
    connection.execute(
        update(table)
        .where(table.c.id == id_)
        .values(tried=func.array_append(table.c.tried, table.c.agent), agent=None, fit=None)
    )


def _record_outcome(
    connection: Connection,
    id_: UUID,
    agent: str,
    success: bool,
    cost: float,
    quality: float | None,
    feedback: str | None,
) -> None:
    query = text("""
        INSERT INTO outcomes (agent, domain, success, latency, cost, quality, feedback, assignment_id)
        SELECT :agent, s.domain, :success, extract(epoch FROM clock_timestamp() - e.at), :cost, :quality,
               :feedback, s.id
        FROM assignments s
        LEFT JOIN LATERAL (SELECT max(at) AS at FROM workflow_events
                           WHERE workflow_id = s.id AND to_status = 'running') AS e ON true
        WHERE s.id = :id
    """)
    values = {
        "id": id_,
        "agent": agent,
        "success": success,
        "quality": quality,
        "feedback": feedback,
        # NaN would spoil every sum and mean.
        "cost": cost if 0 <= cost < math.inf else 0.0,
    }
    connection.execute(query, values)


def _finalize_parent(engine: Engine, id_: UUID) -> None:
    """Let the task that waits for the assignment, if any, go on."""
    with engine.begin() as connection:
        parent = connection.scalar(select(workflows.c.parent_id).where(workflows.c.id == id_))
        if parent is not None:
            task_graph.finalize(connection, [parent])


_ROWS = """
SELECT s.id, w.status AS state, s.domain, s.complexity, s.agent, s.fit, w.attempt, s.tried, s.requested_by,
       w.created_at, w.finished_at
FROM assignments s JOIN workflows w ON w.id = s.id
"""


def find(
    connection: Connection, *, state: str | None = None, agent: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Return assignments, newest first, optionally only those in one state or of one agent."""
    query = text(f"""{_ROWS} WHERE (CAST(:state AS text) IS NULL OR w.status = :state)
        AND (CAST(:agent AS text) IS NULL OR s.agent = :agent) ORDER BY s.id DESC LIMIT :limit""")
    return [
        dict(row)
        for row in connection.execute(query, {"state": state, "agent": agent, "limit": limit}).mappings()
    ]


def counts(connection: Connection) -> dict[str, int]:
    """Count assignments by state."""
    query = text(
        "SELECT w.status, count(*) FROM assignments s JOIN workflows w ON w.id = s.id GROUP BY 1 ORDER BY 1"
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def has_unclaimed(connection: Connection, agents: Sequence[str]) -> bool:
    """Return whether any of these agents has an assignment that it has not claimed yet."""
    query = text(f"""
        SELECT EXISTS (SELECT FROM assignments s JOIN workflows w ON w.id = s.id
                       WHERE w.type = '{TYPE}' AND w.status = 'assigned' AND s.agent = ANY(:agents))
    """)
    return bool(connection.scalar(query, {"agents": list(agents)}))


def without_outcome(connection: Connection) -> list[dict[str, Any]]:
    """Return ended assignments of agents that lack an outcome, which would make the statistics wrong."""
    query = text("""
        SELECT s.id, s.agent, w.status AS state FROM assignments s JOIN workflows w ON w.id = s.id
        WHERE w.status IN ('succeeded', 'failed') AND w.attempt > 0
          AND NOT EXISTS (SELECT FROM outcomes o WHERE o.assignment_id = s.id) ORDER BY s.id LIMIT 20
    """)
    return [dict(row) for row in connection.execute(query).mappings()]


def show(connection: Connection, id_: UUID) -> dict[str, Any]:
    """Return one assignment with its task, its result or error, and its history.

    Raises:
        QflowError: there is no such assignment.
    """
    query = text(
        f"SELECT base.*, s.task, w.result, w.error FROM ({_ROWS} WHERE s.id = :id) AS base "
        "JOIN assignments s ON s.id = base.id JOIN workflows w ON w.id = base.id"
    )
    row = connection.execute(query, {"id": id_}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no assignment {id_}")
    events = [
        {"at": e.at, "from": e.from_status, "to": e.to_status, "actor": e.actor, "data": e.data}
        for e in get_events(connection, id_)
    ]
    return {**row, "history": events}


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """Return the id of the assignment whose id begins with `prefix`."""
    return resolve(connection, prefix, table="assignments", noun="assignment", see="qflow agent assignments")
