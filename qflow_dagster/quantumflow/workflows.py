"""Creating, linking and reading workflows.

Does not belong here: changing their state (`transitions`), their history (`history`).
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from graphlib import CycleError, TopologicalSorter
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Uuid, any_, func, literal, select, text

from qflow_dagster.database.locks import lock
from qflow_dagster.database.schema import metadata
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import arguments
from qflow_dagster.quantumflow.errors import (
    DependencyCycleError,
    IllegalTransitionError,
    WorkflowNotFoundError,
)
from qflow_dagster.quantumflow.rows import Json, NewWorkflow, Workflow, column_list, distinct, to_json
from qflow_dagster.quantumflow.state_machine import notified_queues, registered_types, workflow_type
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.registry import Lock
from qflow_dagster.settings import settings

_COLUMNS = [workflows.c[name] for name in Workflow._fields]

_CREATE = text("""
WITH type AS MATERIALIZED (
    SELECT * FROM json_to_recordset(CAST(:types AS json))
        AS type(name text, status text, claimable boolean, queues text[])
), inserted AS (
    INSERT INTO workflows (id, type, key, fairness_key, status, priority, payload, attempt, max_attempts, available_at,
                           expires_at, parent_id, run_id, claimable, remaining_dependencies, has_dependents,
                           head_seq, head_hash, created_at, updated_at)
    SELECT given.id, given.type, given.key, given.fairness_key, type.status, given.priority,
           coalesce(given.payload, 'null'), 0, given.max_attempts, now.at + make_interval(secs => given.delay),
           now.at + make_interval(secs => given.ttl), given.parent_id, given.run_id, type.claimable, 0, false,
           1, workflow_event_hash('', given.id, 1, NULL, type.status, 0, :actor, NULL, given.run_id, now.at),
           now.at, now.at
    FROM json_to_recordset(CAST(:given AS json)) AS given(
        id uuid, type text, key text, fairness_key text, priority integer, payload jsonb, max_attempts integer,
        delay float8, ttl float8, parent_id uuid, run_id text)
    JOIN type ON type.name = given.type
    CROSS JOIN (SELECT statement_timestamp() AS at) AS now
    ON CONFLICT (type, key) WHERE key IS NOT NULL DO NOTHING
    RETURNING id, type, key, status, run_id, head_hash, created_at
), event AS (
    INSERT INTO workflow_events (workflow_id, seq, to_status, attempt, actor, run_id, at, prev_hash, hash)
    SELECT id, 1, status, 0, :actor, run_id, created_at, '', head_hash FROM inserted
), notification AS MATERIALIZED (
    SELECT inserted.*, queue
    FROM inserted JOIN type ON type.name = inserted.type CROSS JOIN unnest(queues) AS queue
), message AS (
    INSERT INTO messages (queue, payload)
    SELECT queue, jsonb_build_object('workflow_id', id, 'type', type, 'key', key, 'from', NULL,
                                     'to', status, 'attempt', 0, 'actor', CAST(:actor AS text), 'seq', 1)
    FROM notification
), notified AS MATERIALIZED (
    SELECT pg_notify(queue, pg_current_xact_id()::text) FROM (SELECT DISTINCT queue FROM notification) AS queue
)
SELECT id, (SELECT count(*) FROM notified) FROM inserted
""")

_FIND_KEYS = text("""
SELECT given.id AS given_id, w.id
FROM unnest(CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:keys AS text[])) AS given(id, type, key)
JOIN workflows w ON w.type = given.type AND w.key = given.key
""")

# Marks what is depended on, under its row lock: whoever completes it later sees the mark.
_MARK_DEPENDED_ON = text("""
WITH locked AS MATERIALIZED (
    SELECT id FROM workflows WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE
)
UPDATE workflows w SET has_dependents = true FROM locked WHERE w.id = locked.id
RETURNING w.id, w.type, w.status
""")

_LINK = text("""
WITH linked AS (
    INSERT INTO workflow_dependencies (workflow_id, depends_on_id)
    SELECT * FROM unnest(CAST(:workflow_ids AS uuid[]), CAST(:depends_on_ids AS uuid[]))
    ON CONFLICT DO NOTHING
    RETURNING workflow_id, depends_on_id
), added AS (
    SELECT workflow_id, count(*)::integer AS remaining FROM linked
    WHERE depends_on_id <> ALL(CAST(:completed AS uuid[])) GROUP BY workflow_id
)
UPDATE workflows w SET remaining_dependencies = w.remaining_dependencies + added.remaining
FROM added WHERE w.id = added.workflow_id
""")

_REACHABLE = text("""
WITH RECURSIVE reachable(id) AS (
    SELECT unnest(CAST(:ids AS uuid[]))
    UNION
    SELECT d.depends_on_id FROM reachable JOIN workflow_dependencies d ON d.workflow_id = reachable.id
)
SELECT d.workflow_id, d.depends_on_id
FROM reachable JOIN workflow_dependencies d ON d.workflow_id = reachable.id
""")


def create_workflow(
    connection: Connection, type_name: str, payload: Json = None, *, actor: str, **options: object
) -> UUID:
    """Create one workflow; `options` are the fields of `NewWorkflow`. As `create_workflows`."""
    new = NewWorkflow(type=type_name, payload=payload, **options)  # type: ignore[arg-type]
    return create_workflows(connection, [new], actor=actor)[0]


def create_workflows(connection: Connection, new: Sequence[NewWorkflow], *, actor: str) -> list[UUID]:
    """Create workflows in one round trip (a few more with keys or dependencies); return their ids, in order.

    One whose (type, key) is there already is not created: the id returned is the one there,
    and dependencies of the same call follow it.

    Raises:
        UsageError: a type is unknown, a payload is not JSON, or another field is not what it must be.
        DependencyCycleError: the dependencies form a cycle.
        WorkflowNotFoundError: a dependency does not exist.
    """
    arguments.check_text(actor, "the actor")
    for workflow in arguments.sequence(new, "the new workflows"):
        _check_new(workflow)
    machines = {name: workflow_type(name).machine for name in {workflow.type for workflow in new}}
    for workflow in new:
        if (workflow_type(workflow.type).fairness is None) is not (workflow.fairness_key is None):
            raise UsageError(f"a workflow has a fairness_key if its type has a Fairness: {workflow.type!r}")
    types = [
        {
            "name": name,
            "status": machine.initial,
            "claimable": machine.initial in machine.claimable,
            "queues": notified_queues(workflow_type(name), machine.initial),
        }
        for name, machine in machines.items()
    ]
    max_attempts = settings().quantumflow.max_attempts
    rows = [
        {
            "id": str(workflow.id),
            "type": workflow.type,
            "key": workflow.key,
            "fairness_key": workflow.fairness_key,
            "priority": workflow.priority,
            "payload": workflow.payload,
            "max_attempts": max_attempts if workflow.max_attempts is None else workflow.max_attempts,
            "delay": workflow.delay,
            "ttl": workflow.ttl,
            "parent_id": workflow.parent_id and str(workflow.parent_id),
            "run_id": workflow.run_id,
        }
        for workflow in new
    ]
    parameters = {
        "types": to_json(types, "the types"),
        "given": to_json(rows, "the payload of a workflow"),
        "actor": actor,
    }
    # A savepoint only where something may be refused after the first write.
    linked = any(workflow.depends_on for workflow in new)
    with connection.begin_nested() if linked else nullcontext():
        inserted = {row.id for row in connection.execute(_CREATE, parameters)}
        existing = _existing(connection, [workflow for workflow in new if workflow.id not in inserted])
        pairs = [
            (workflow.id, existing.get(depends_on, depends_on))
            for workflow in new
            if workflow.id in inserted
            for depends_on in workflow.depends_on
        ]
        # Nothing that was there before can depend on what is new: cycles are among these pairs.
        _refuse_cycle(pairs)
        _link(connection, pairs)
    return [existing.get(workflow.id, workflow.id) for workflow in new]


def add_dependencies(connection: Connection, pairs: Sequence[tuple[UUID, UUID]]) -> None:
    """Make each first workflow of `pairs` wait for the second. One at a time, server-wide.

    Raises:
        DependencyCycleError: a cycle would arise; nothing was added.
        IllegalTransitionError: one of the first is held by a worker or ended; nothing was added.
        WorkflowNotFoundError: one does not exist; nothing was added.
    """
    arguments.pairs(pairs, "the dependencies")
    lock(connection, Lock.DEPENDENCIES)
    reachable = connection.execute(_REACHABLE, {"ids": distinct(depends_on for _, depends_on in pairs)})
    _refuse_cycle([*((row.workflow_id, row.depends_on_id) for row in reachable), *pairs])
    waiting = distinct(workflow for workflow, _ in pairs)
    columns = workflows.c
    locked = (
        select(columns.id, columns.type, columns.status)
        .where(columns.id == any_(literal(waiting, ARRAY(Uuid))))
        .order_by(columns.id)
        .with_for_update()
    )
    with connection.begin_nested():
        # Locks what is depended on before what depends on it, as a completion does.
        _link(connection, pairs)
        by_id = {row.id: row for row in connection.execute(locked)}
        _refuse_missing(waiting, by_id)
        for row in by_id.values():
            machine = workflow_type(row.type).machine
            if row.status in machine.terminal or row.status in machine.leased:
                raise IllegalTransitionError(
                    f"workflow {row.id} ({row.type}) is {row.status}: only one that is neither held nor "
                    "ended can be made to wait"
                )


def get(connection: Connection, workflow_id: UUID) -> Workflow:
    """Return the workflow of that id.

    Raises:
        WorkflowNotFoundError: there is none.
    """
    arguments.check_id(workflow_id, "the workflow")
    row = connection.execute(select(*_COLUMNS).where(workflows.c.id == workflow_id)).one_or_none()
    if row is None:
        raise WorkflowNotFoundError(f"there is no workflow {workflow_id}; it may have been pruned")
    return Workflow(*row)


def find(
    connection: Connection,
    *,
    type_name: str | None = None,
    status: str | None = None,
    key: str | None = None,
    parent_id: UUID | None = None,
    run_id: str | None = None,
    before: UUID | None = None,
    limit: int = 100,
) -> list[Workflow]:
    """Return workflows that fit all that is given, newest first; the next page is `before` the last id."""
    arguments.check_integer(limit, "limit", 0)
    arguments.check_id(before, "before", optional=True)
    arguments.check_id(parent_id, "parent_id", optional=True)
    texts = {"type": type_name, "status": status, "key": key, "run_id": run_id}
    for name, value in texts.items():
        arguments.check_text(value, name, optional=True)
    query = select(*_COLUMNS).order_by(workflows.c.id.desc()).limit(limit)
    filters = {**texts, "parent_id": parent_id}
    for name, value in filters.items():
        if value is not None:
            query = query.where(workflows.c[name] == value)
    if before is not None:
        query = query.where(workflows.c.id < before)
    return [Workflow(*row) for row in connection.execute(query)]


def count_unfinished(connection: Connection) -> dict[tuple[str, str], int]:
    """Count the workflows that have not ended, by type and status."""
    query = select(workflows.c.type, workflows.c.status, func.count()).where(
        workflows.c.finished_at.is_(None)
    )
    rows = connection.execute(query.group_by(workflows.c.type, workflows.c.status))
    return {(type_name, status): count for type_name, status, count in rows}


def due(connection: Connection, types: Sequence[str]) -> bool:
    """Return whether a worker could claim a workflow of these types now; reads one index."""
    for name in arguments.sequence(types, "the types"):
        arguments.check_text(name, "a type")
    query = text("""
        SELECT EXISTS (SELECT FROM workflows WHERE type = ANY(:types) AND claimable AND remaining_dependencies = 0
                       AND available_at <= statement_timestamp())
    """)
    return bool(connection.scalar(query, {"types": list(types)}))


def newest_due(connection: Connection, types: Sequence[str]) -> float | None:
    """Return when the newest workflow that could be claimed now became available (seconds since the epoch)."""
    for name in arguments.sequence(types, "the types"):
        arguments.check_text(name, "a type")
    query = text("""
        SELECT extract(epoch FROM max(available_at))::float8 FROM workflows
        WHERE type = ANY(:types) AND claimable AND remaining_dependencies = 0
          AND available_at <= statement_timestamp()
    """)
    return connection.scalar(query, {"types": list(types)})


def resolve(
    connection: Connection,
    prefix: str,
    *,
    table: str = "workflows",
    noun: str = "workflow",
    see: str | None = None,
) -> UUID:
    """Return the id in `table` (its ids are like those of workflows) that begins with `prefix`, as a person types it.

    Raises:
        WorkflowNotFoundError: none does, or several do; the message calls them `noun`, and names the command
            that lists them (`see`; default: the noun's own).
    """
    see = see or f"qflow {noun}s list"
    digits = prefix.replace("-", "").lower() if isinstance(prefix, str) else ""
    if not 0 < len(digits) <= 32 or not set(digits) <= set("0123456789abcdef"):
        raise WorkflowNotFoundError(
            f"{str(digits and prefix)[:60]!r} matches no {noun}: it is not the prefix of an id; see `{see}`"
        )
    id_ = metadata.tables[table].c.id
    bounds = id_.between(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))
    matches = connection.scalars(select(id_).where(bounds).order_by(id_).limit(2)).all()
    if len(matches) != 1:
        matched = f"several {noun}s" if matches else f"no {noun}"
        raise WorkflowNotFoundError(f"{prefix!r} matches {matched}: give more of the id, see `{see}`")
    return matches[0]


def dependencies(connection: Connection, workflow_id: UUID) -> list[Workflow]:
    """Return what the workflow depends on, completed or not, oldest first."""
    arguments.check_id(workflow_id, "the workflow")
    query = text(
        f"SELECT {column_list(Workflow, 'w')} FROM workflow_dependencies d "
        "JOIN workflows w ON w.id = d.depends_on_id WHERE d.workflow_id = :id ORDER BY w.id"
    )
    return [Workflow(*row) for row in connection.execute(query, {"id": workflow_id})]


def _check_new(new: object) -> None:
    """Refuse what the tables cannot hold; whether the type exists and the payload is JSON, others say."""
    if not isinstance(new, NewWorkflow):
        raise UsageError(f"a new workflow is given as NewWorkflow, not {type(new).__name__}")
    arguments.check_text(new.type, "the type of a workflow")
    arguments.check_text(new.key, "the key of a workflow", optional=True)
    arguments.check_text(new.fairness_key, "the fairness_key of a workflow", optional=True)
    arguments.check_text(new.run_id, "the run_id of a workflow", optional=True)
    arguments.check_integer(new.priority, "the priority of a workflow", -arguments.MAX_INTEGER)
    if new.max_attempts is not None:
        arguments.check_integer(new.max_attempts, "max_attempts of a workflow", 1)
    arguments.check_seconds(new.delay, "the delay of a workflow")
    arguments.check_seconds(new.ttl, "the ttl of a workflow", optional=True)
    arguments.check_id(new.id, "the id of a workflow")
    arguments.check_id(new.parent_id, "the parent_id of a workflow", optional=True)
    arguments.check_ids(new.depends_on, "depends_on of a workflow")


def _existing(connection: Connection, new: Sequence[NewWorkflow]) -> dict[UUID, UUID]:
    """For workflows not created because of their key: the id each stands for."""
    if not new:
        return {}
    parameters = {
        "ids": [workflow.id for workflow in new],
        "types": [workflow.type for workflow in new],
        "keys": [workflow.key for workflow in new],
    }
    return {row.given_id: row.id for row in connection.execute(_FIND_KEYS, parameters)}


def _link(connection: Connection, pairs: Sequence[tuple[UUID, UUID]]) -> None:
    if not pairs:
        return
    depended_on = distinct(depends_on for _, depends_on in pairs)
    by_id = {row.id: row for row in connection.execute(_MARK_DEPENDED_ON, {"ids": depended_on})}
    _refuse_missing(depended_on, by_id)
    machines = {declared.name: declared.machine for declared in registered_types()}
    completed = [row.id for row in by_id.values() if row.status == machines[row.type].completed]
    parameters = {
        "workflow_ids": [workflow for workflow, _ in pairs],
        "depends_on_ids": [depends_on for _, depends_on in pairs],
        "completed": completed,
    }
    connection.execute(_LINK, parameters)


def _refuse_missing(ids: Iterable[UUID], existing: Iterable[UUID]) -> None:
    if missing := set(ids).difference(existing):
        raise WorkflowNotFoundError(f"there is no workflow {min(missing)} to depend on")


def _refuse_cycle(pairs: Iterable[tuple[UUID, UUID]]) -> None:
    graph: dict[UUID, set[UUID]] = {}
    for workflow, depends_on in pairs:
        graph.setdefault(workflow, set()).add(depends_on)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(map(str, error.args[1]))
        raise DependencyCycleError(f"the dependencies form a cycle: {circle}") from None
