"""Assignments: work for whichever agent fits best, as workflow rows.

Belongs here: the machine, creating, routing, claiming by an agent, reporting, outcomes. Does not
belong here: how well an agent fits (`coordination`).
"""

import math
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.agents import coordination
from qflow_dagster.agents.coordination import Wanted
from qflow_dagster.database.locks import lock
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution import task_graph
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
from qflow_dagster.quantumflow.rows import to_json
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
    # Nobody could do it in all that time.
    expired="failed",
)
TYPE = register(
    WorkflowTypeName.ASSIGNMENT, machine=MACHINE, queue=Queue.AGENT_COORDINATION_NOTIFICATIONS
).name
ATTEMPTS = 3


def create(
    connection: Connection,
    task: Any,
    wanted: Wanted,
    *,
    requested_by: str,
    key: str | None = None,
    priority: int = 0,
    parent_id: UUID | None = None,
    depends_on: Sequence[UUID] = (),
) -> UUID:
    """Ask for something to be done by an agent; return the assignment's id.

    Raises:
        UsageError: there is no such domain or complexity.
    """
    new = NewWorkflow(
        type=TYPE,
        key=key,
        priority=priority,
        parent_id=parent_id,
        depends_on=depends_on,
        max_attempts=ATTEMPTS,
        ttl=settings().agents.wait,
    )
    describe(connection, new.id, task, wanted, requested_by=requested_by)
    [id_] = create_workflows(connection, [new], actor=requested_by)
    if id_ != new.id:
        connection.execute(text("DELETE FROM assignments WHERE id = :id"), {"id": new.id})
    return id_


def describe(connection: Connection, id_: UUID, task: Any, wanted: Wanted, *, requested_by: str) -> None:
    """What the assignment of that id is about; its workflow is created by the caller."""
    if wanted.domain not in coordination.DOMAINS:
        raise UsageError(f"no domain {wanted.domain!r}; there are: {', '.join(coordination.DOMAINS)}")
    if wanted.complexity not in coordination.COST_FACTOR:
        raise UsageError(f"no complexity {wanted.complexity!r}: {', '.join(coordination.COST_FACTOR)}")
    query = text("""
        INSERT INTO assignments (id, domain, input_type, output_type, complexity, task, requested_by, tried)
        VALUES (:id, :domain, :input_type, :output_type, :complexity, CAST(:task AS jsonb), :by, '{}')
    """)
    connection.execute(
        query, {"id": id_, "task": to_json(task, "the task"), "by": requested_by, **wanted._asdict()}
    )


# An agent that has one queued again did not do it: it was killed, or went away.
_LOST = text("""
WITH lost AS (
    SELECT s.id, s.agent, s.domain FROM assignments s JOIN workflows w ON w.id = s.id
    WHERE w.status = 'queued' AND s.agent IS NOT NULL
    ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
), noted AS (
    INSERT INTO outcomes (agent, domain, success, cost, feedback, assignment_id)
    SELECT agent, domain, false, 0, 'stopped reporting', id FROM lost
)
UPDATE assignments s SET agent = NULL, fit = NULL, tried = s.tried || s.agent FROM lost WHERE s.id = lost.id
""")
_UNTAKEN = text("""
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
ORDER BY w.priority DESC, w.id LIMIT :limit FOR UPDATE OF w SKIP LOCKED
""")


def route(connection: Connection, *, limit: int = 200) -> int:
    """Give queued assignments to the agents that fit best; return how many were given.

    One that was not taken in time, or whose agent went away, goes to the next best; tried by all
    that fit, it may go to any of them again, until its attempts are used up.
    """
    # One router at a time: two would both see the same agent free.
    lock(connection, Lock.ASSIGNMENT_ROUTING)
    connection.execute(_LOST)
    known = coordination.agents(connection)
    offline = [agent.name for agent in known if agent.availability == "offline"]
    seconds = settings().agents.assign_timeout
    for row in connection.execute(_UNTAKEN, {"seconds": seconds, "offline": offline}).all():
        why = "is offline" if row.agent in offline else f"did not take it in {seconds:g} s"
        transition(connection, [row.id], "queued", actor=ACTOR, data={"reason": f"{row.agent} {why}"})
        _unassign(connection, row.id)
    known = {agent.name: agent for agent in coordination.agents(connection)}
    given = 0
    for row in connection.execute(_QUEUED, {"limit": limit}).all():
        wanted = Wanted(row.domain, row.input_type, row.output_type, row.complexity)
        fitting = coordination.candidates(list(known.values()), wanted, row.tried)
        if not fitting and row.tried:
            fitting = coordination.candidates(list(known.values()), wanted)
        # A queue at an agent helps nobody: who is full gets nothing, another agent or a later look does.
        free = [(value, agent) for value, agent in fitting if agent.load < agent.most]
        if not free:
            continue
        value, agent = free[0]
        considered = [{"agent": other.name, "fit": round(score, 3)} for score, other in fitting]
        data = {"agent": agent.name, "fit": round(value, 3), "considered": considered}
        transition(connection, [row.id], "assigned", actor=ACTOR, data=data)
        query = text(
            "UPDATE assignments SET agent = :agent, fit = :fit, assigned_at = clock_timestamp() WHERE id = :id"
        )
        connection.execute(query, {"agent": agent.name, "fit": value, "id": row.id})
        known[agent.name] = agent._replace(load=agent.load + 1)
        given += 1
    return given


def take(connection: Connection, agent: str, *, limit: int = 1, run_id: str | None = None) -> list[Workflow]:
    """Claim what the router gave to an agent; its `payload` is what was asked."""
    query = text("""
        SELECT s.id FROM assignments s JOIN workflows w ON w.id = s.id
        WHERE s.agent = :agent AND w.status = 'assigned' ORDER BY w.priority DESC, s.id LIMIT :limit
    """)
    ids = connection.scalars(query, {"agent": agent, "limit": limit}).all()
    if not ids:
        return []
    lease = settings().agents.lease
    taken = claim(
        connection, TYPE, worker=f"agent {agent}", limit=limit, among=ids, lease=lease, run_id=run_id
    )
    asked = text("SELECT id, domain, complexity, task FROM assignments WHERE id = ANY(:ids)")
    rows = {row.id: row for row in connection.execute(asked, {"ids": [workflow.id for workflow in taken]})}
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
        for workflow in taken
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
    """Report that an assignment is done.

    Raises:
        LeaseLostError: somebody else has it, or has done it; nothing was recorded.
    """
    with engine.begin() as connection:
        complete(connection, [held], [result])
        _outcome(connection, held.id, agent, True, cost, quality, feedback)
    _settle(engine, held.id)


def report_failure(
    engine: Engine, held: Held, agent: str, why: str, *, retry: bool = True, cost: float = 0.0
) -> str:
    """Report that an attempt failed; return the assignment's state: queued for the next best, or failed.

    Raises:
        LeaseLostError: somebody else has it, or has done it; nothing was recorded.
    """
    with engine.begin() as connection:
        [status] = fail(
            connection, [held], [{"kind": "agent", "message": why[:4_000], "agent": agent}], retry=retry
        )
        _outcome(connection, held.id, agent, False, cost, None, why[:1_000])
        _unassign(connection, held.id)
    _settle(engine, held.id)
    return status


def _unassign(connection: Connection, id_: UUID) -> None:
    query = text("UPDATE assignments SET tried = tried || agent, agent = NULL, fit = NULL WHERE id = :id")
    connection.execute(query, {"id": id_})


def _outcome(
    connection: Connection,
    id_: UUID,
    agent: str,
    success: bool,
    cost: float,
    quality: float | None,
    words: str | None,
) -> None:
    query = text("""
        INSERT INTO outcomes (agent, domain, success, latency, cost, quality, feedback, assignment_id)
        SELECT :agent, s.domain, :success, extract(epoch FROM clock_timestamp() - e.at), :cost, :quality, :words, s.id
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
        "words": words,
        # Not a number would be every sum's and every mean's end.
        "cost": cost if 0 <= cost < math.inf else 0.0,
    }
    connection.execute(query, values)


def _settle(engine: Engine, id_: UUID) -> None:
    """What waits for the assignment, a task for example, goes on."""
    with engine.begin() as connection:
        parent = connection.scalar(text("SELECT parent_id FROM workflows WHERE id = :id"), {"id": id_})
        if parent is not None:
            task_graph.settle(connection, [parent])


_ROWS = """
SELECT s.id, w.status AS state, s.domain, s.complexity, s.agent, s.fit, w.attempt, s.tried, s.requested_by,
       w.created_at, w.finished_at
FROM assignments s JOIN workflows w ON w.id = s.id
"""


def find(
    connection: Connection, *, state: str | None = None, agent: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Assignments, newest first; of that state, of that agent."""
    query = text(f"""{_ROWS} WHERE (CAST(:state AS text) IS NULL OR w.status = :state)
        AND (CAST(:agent AS text) IS NULL OR s.agent = :agent) ORDER BY s.id DESC LIMIT :limit""")
    return [
        dict(row)
        for row in connection.execute(query, {"state": state, "agent": agent, "limit": limit}).mappings()
    ]


def counts(connection: Connection) -> dict[str, int]:
    """Assignments by state."""
    query = text(
        "SELECT w.status, count(*) FROM assignments s JOIN workflows w ON w.id = s.id GROUP BY 1 ORDER BY 1"
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def given_to(connection: Connection, agents: Sequence[str]) -> bool:
    """Whether any of these agents has been given something it has not taken."""
    query = text("""
        SELECT EXISTS (SELECT FROM assignments s JOIN workflows w ON w.id = s.id
                       WHERE w.type = '{TYPE}' AND w.status = 'assigned' AND s.agent = ANY(:agents))
    """)
    return bool(connection.scalar(query, {"agents": list(agents)}))


def without_outcome(connection: Connection) -> list[dict[str, Any]]:
    """Assignments that ended with an agent and have no outcome of it: then statistics would be wrong."""
    query = text("""
        SELECT s.id, s.agent, w.status AS state FROM assignments s JOIN workflows w ON w.id = s.id
        WHERE w.status IN ('succeeded', 'failed') AND w.attempt > 0
          AND NOT EXISTS (SELECT FROM outcomes o WHERE o.assignment_id = s.id) ORDER BY s.id LIMIT 20
    """)
    return [dict(row) for row in connection.execute(query).mappings()]


def show(connection: Connection, id_: UUID) -> dict[str, Any]:
    """One assignment with what was asked, its result or error, and its history.

    Raises:
        QflowError: there is none.
    """
    query = text(
        f"SELECT found.*, s.task, w.result, w.error FROM ({_ROWS} WHERE s.id = :id) AS found "
        "JOIN assignments s ON s.id = found.id JOIN workflows w ON w.id = found.id"
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
    """The assignment whose id begins with `prefix`."""
    return resolve(connection, prefix, table="assignments", noun="assignment", see="qflow agent assignments")
