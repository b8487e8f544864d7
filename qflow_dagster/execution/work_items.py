"""Work items: the SAFe hierarchy as rows, their states, and reading them.

Belongs here: the state machines, creating in bulk, states of parents that follow from their children, lists
and the tree. Does not belong here: which items there should be, and their rank (`safe_work_planner`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Uuid, any_, literal, select, text

from qflow_dagster.database.copy import copy_rows
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution.tables import work_items
from qflow_dagster.quantumflow import (
    NewWorkflow,
    StateMachine,
    add_dependencies,
    create_workflows,
    get_events,
    register,
    resolve,
    transition,
    uuid7,
)
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.registry import Queue, WorkflowTypeName
from qflow_dagster.settings import settings

LEVELS = ("theme", "epic", "capability", "feature", "story")
# The levels in force, by the setting `hierarchy`. SAFe has capabilities for large solutions only.
HIERARCHIES = {
    "essential": ("theme", "epic", "feature", "story"),
    "large-solution": LEVELS,
    "plain": ("epic", "story"),
}


def _machine(level: str, *states: str) -> StateMachine:
    """Return a machine that moves forward through these states, skipping some, and back when new work appears."""
    ended = frozenset({"done", "cancelled"})
    transitions = {
        # To itself: a change of an open item's content is an event of its history too.
        state: frozenset(states) - {state} if state in ended else frozenset({*states, "cancelled"})
        for state in states
    }
    transitions["cancelled"] = frozenset({states[0]})
    return StateMachine(
        name=level,
        initial=states[0],
        transitions=transitions,
        terminal=ended,
        completed="done",
        cancelled="cancelled",
    )


MACHINES = {
    "theme": _machine("theme", "active", "done"),
    "epic": _machine("epic", "ideation", "analysis", "implementation", "done"),
    "capability": _machine("capability", "backlog", "analyzing", "implementing", "validating", "done"),
    "feature": _machine("feature", "backlog", "in_progress", "done"),
}
TYPES = {
    level: register(WorkflowTypeName(level), machine=machine, queue=Queue.WORK_ITEM_NOTIFICATIONS).name
    for level, machine in MACHINES.items()
}
# A story has the states of a feature.
MACHINES["story"], TYPES["story"] = MACHINES["feature"], TYPES["feature"]
STATES = tuple(dict.fromkeys(state for machine in MACHINES.values() for state in machine.states))
# Levels of items that somebody works on; the others are done when these are.
WORKABLE = ("feature", "story")
SOURCES = ("findings", "metric", "error", "text", "plan")
OPEN_STATES = (
    "active",
    "ideation",
    "analysis",
    "implementation",
    "backlog",
    "analyzing",
    "implementing",
    "validating",
    "in_progress",
)


def hierarchy() -> tuple[str, ...]:
    """Return the levels in force, the highest first."""
    return HIERARCHIES[settings().execution.hierarchy]


def parent_level(level: str) -> str | None:
    """Return the level above a level in the hierarchy in force; None: it is the highest, or not in it."""
    levels = hierarchy()
    position = levels.index(level) if level in levels else 0
    return levels[position - 1] if position else None


def level_in_force(level: str) -> str:
    """Return a level if the hierarchy in force has it, else the next lower one, else its lowest."""
    levels = hierarchy()
    return next((lower for lower in LEVELS[LEVELS.index(level) :] if lower in levels), levels[-1])


def planned_level() -> str:
    """Return the level that a plan is made of and counted by: features, or stories where there are none."""
    return "feature" if "feature" in hierarchy() else "story"


@dataclass(frozen=True, kw_only=True)
class NewItem:
    """The values of a work item to create; with a `key` that exists already, the existing item is returned instead."""

    level: str
    title: str
    description: str = ""
    source: str = "plan"
    key: str | None = None
    repository_id: int | None = None
    parent_id: UUID | None = None
    kind: str | None = None
    acceptance: Sequence[str] = ()
    rule_id: str | None = None
    path: str | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    owner: str | None = None
    due: date | None = None
    points: int | None = None
    priority: str | None = None
    labels: Sequence[str] = ()
    id: UUID = field(default_factory=uuid7)


def create(connection: Connection, new: Sequence[NewItem], *, actor: str) -> list[UUID]:
    """Create work items in a few round trips; return their ids, or the ids of the items that have their keys.

    Raises:
        UsageError: unknown level, unknown parent, or a parent that is not of a higher level.
    """
    if not new:
        return []
    for item in new:
        if item.level not in LEVELS:
            raise UsageError(f"unknown level {item.level!r}; levels: {', '.join(LEVELS)}")
    _check_parents(connection, new)
    ids = create_workflows(
        connection,
        [
            NewWorkflow(type=TYPES[item.level], key=item.key, parent_id=item.parent_id, id=item.id)
            for item in new
        ],
        actor=actor,
    )
    created = [item for item, id_ in zip(new, ids, strict=True) if item.id == id_]
    json_columns = {"acceptance": "the acceptance", "inputs": "the inputs", "labels": "the labels"}
    columns = [
        "id", "level", "repository_id", "parent_id", "kind", "title", "description", "acceptance", "source",
        "rule_id", "path", "inputs", "owner", "due", "points", "priority", "labels",
    ]  # fmt: skip
    rows = [
        tuple(
            to_json(list(value) if isinstance(value, tuple) else value, json_columns[name])
            if name in json_columns
            else value
            for name in columns
            for value in (getattr(item, name),)
        )
        for item in created
    ]
    copy_rows(connection, work_items, columns, rows)
    return ids


def _check_parents(connection: Connection, new: Sequence[NewItem]) -> None:
    levels = {item.id: item.level for item in new}
    levels |= _levels(
        connection, [item.parent_id for item in new if item.parent_id and item.parent_id not in levels]
    )
    for item in new:
        if item.parent_id is None:
            continue
        level = levels.get(item.parent_id)
        if level is None:
            raise UsageError(f"there is no work item {item.parent_id} to be the parent of {item.title!r}")
        if LEVELS.index(level) >= LEVELS.index(item.level):
            raise UsageError(
                f"the parent of a {item.level} is of a higher level, not a {level}: {item.title!r}"
            )


def _levels(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    query = select(work_items.c.id, work_items.c.level).where(
        work_items.c.id == any_(literal(list(ids), ARRAY(Uuid)))
    )
    return {row.id: row.level for row in connection.execute(query)}


def move(connection: Connection, ids: Sequence[UUID], to: str, *, actor: str, data: Any = None) -> None:
    """Move items of one level to the state `to`, and update the states of their ancestors.

    Raises:
        IllegalTransitionError: the state machine of the level does not allow it.
    """
    if not ids:
        return
    transition(connection, ids, to, actor=actor, data=data)
    roll_up(connection, ids, actor=actor)


def note(connection: Connection, item: UUID, *, actor: str, data: Any) -> None:
    """Record a change of an item's content in its history; its state stays.

    Raises:
        QflowError: there is no such item, or it has ended.
    """
    query = text(
        "SELECT w.status FROM work_items i JOIN workflows w ON w.id = i.id WHERE i.id = :id FOR UPDATE OF w"
    )
    state = connection.scalar(query, {"id": item})
    if state is None:
        raise QflowError(f"there is no work item {item}")
    if state not in OPEN_STATES:
        raise QflowError(f"work item {item} is {state}: move it back before changing it (qflow work move)")
    transition(connection, [item], state, actor=actor, data=data)


# Parents are locked before their children are counted, so that moves of two siblings do not cross.
_LOCK_PARENTS = text("""
SELECT id FROM workflows WHERE id IN (SELECT parent_id FROM work_items WHERE id = ANY(:ids)) ORDER BY id FOR UPDATE
""")
_CHILDREN = text("""
SELECT p.id, p.level, pw.status, count(*) AS children,
       count(*) FILTER (WHERE cw.status IN ('done', 'cancelled')) AS ended,
       count(*) FILTER (WHERE cw.status = 'done') AS done,
       count(*) FILTER (WHERE cw.status IN ('in_progress', 'implementing', 'implementation', 'validating')) AS working
FROM work_items p JOIN workflows pw ON pw.id = p.id
JOIN work_items c ON c.parent_id = p.id JOIN workflows cw ON cw.id = c.id
WHERE p.id IN (SELECT parent_id FROM work_items WHERE id = ANY(:ids)) AND pw.status <> 'cancelled'
GROUP BY p.id, p.level, pw.status ORDER BY p.id
""")


def parent_state(level: str, children: int, ended: int, done: int, working: int) -> str:
    """Return the state that a parent of that level has by the states of its children.

    All ended and at least one done: done. One in progress: implementing. Some done, none in progress:
    validating (a capability) or implementing. None started: analyzing, of a feature backlog.
    """
    states = {
        "feature": ("backlog", "in_progress", "in_progress", "done"),
        "capability": ("analyzing", "implementing", "validating", "done"),
        "epic": ("analysis", "implementation", "implementation", "done"),
        "theme": ("active", "active", "active", "done"),
    }[level]
    if ended == children and done:
        return states[3]
    if working:
        return states[1]
    return states[2] if done else states[0]


def set_parents(connection: Connection, parents: Mapping[UUID, UUID | None]) -> None:
    """Set the parents of items where they differ; None: it has none."""
    values = {"ids": list(parents), "parents": list(parents.values())}
    for table in ("work_items", "workflows"):
        query = text(f"""
            UPDATE {table} i SET parent_id = s.parent_id
            FROM unnest(CAST(:ids AS uuid[]), CAST(:parents AS uuid[])) AS s(id, parent_id)
            WHERE i.id = s.id AND i.parent_id IS DISTINCT FROM s.parent_id
        """)
        connection.execute(query, values)


def roll_up(connection: Connection, ids: Sequence[UUID], *, actor: str) -> None:
    """Update the states of these items' ancestors from their children, level by level."""
    changed = list(ids)
    while changed:
        connection.execute(_LOCK_PARENTS, {"ids": changed})
        parents_by_state: dict[str, list[UUID]] = {}
        for row in connection.execute(_CHILDREN, {"ids": changed}):
            state = parent_state(row.level, row.children, row.ended, row.done, row.working)
            if state != row.status:
                parents_by_state.setdefault(state, []).append(row.id)
        for state, parents in parents_by_state.items():
            transition(connection, parents, state, actor=actor, data={"reason": "its children"})
        changed = [id_ for parents in parents_by_state.values() for id_ in parents]


def depend(connection: Connection, item: UUID, on: Sequence[UUID]) -> None:
    """Make an item depend on others of its level; features and stories may depend on each other.

    Raises:
        UsageError: one of them is of another level, or above the item, which is done only after it.
        DependencyCycleError: the items would depend on each other in a cycle.
    """
    levels = _levels(connection, [item, *on])
    above = set(connection.scalars(_ANCESTORS, {"id": item}))
    for other in on:
        workable = levels.get(item) in WORKABLE and levels.get(other) in WORKABLE
        if levels.get(other) != levels.get(item) and not workable:
            raise UsageError(
                f"{item} is of level {levels.get(item)}, {other} of {levels.get(other)}: "
                "dependencies are within one level, or between features and stories"
            )
        if other in above:
            raise UsageError(f"{other} is above {item}, and done only after it: it cannot be waited for")
    add_dependencies(connection, [(item, other) for other in on])


_ANCESTORS = text("""
WITH RECURSIVE above AS (
    SELECT parent_id AS id FROM work_items WHERE id = :id
    UNION SELECT i.parent_id FROM work_items i JOIN above a ON i.id = a.id
) SELECT id FROM above WHERE id IS NOT NULL
""")
_ROWS = """
SELECT i.id, i.level, w.status AS state, i.wsjf, r.name AS repository, i.title, i.parent_id, i.source,
       i.rule_id AS rule, i.path, i.owner, i.due, i.points, i.priority, i.labels, i.created_at,
       w.remaining_dependencies
FROM work_items i JOIN workflows w ON w.id = i.id LEFT JOIN repositories r ON r.id = i.repository_id
"""


def find(
    connection: Connection,
    *,
    repository_id: int | None = None,
    level: str | None = None,
    state: str | None = None,
    source: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return the work items that match all filters (state `open`: neither done nor cancelled), highest score first."""
    filters = {
        "i.repository_id = :repository_id": repository_id,
        "i.level = :level": level,
        "w.status = :state": None if state in ("open", "all") else state,
        "w.finished_at IS NULL": True if state == "open" else None,
        "i.source = :source": source,
    }
    chosen = [condition for condition, value in filters.items() if value is not None]
    query = text(
        f"{_ROWS} WHERE {' AND '.join(chosen) or 'true'} "
        "ORDER BY i.wsjf DESC NULLS LAST, i.created_at, i.id LIMIT :limit"
    )
    parameters = {
        "repository_id": repository_id,
        "level": level,
        "state": state,
        "source": source,
        "limit": limit,
    }
    return [dict(row) for row in connection.execute(query, parameters).mappings()]


def show(connection: Connection, item_id: UUID) -> dict[str, Any]:
    """Return one item with its inputs, parent, dependencies and history.

    Raises:
        QflowError: there is no such item.
    """
    query = text(
        f"SELECT base.*, i.description, i.acceptance, i.inputs, i.inherits_from, i.kind "
        f"FROM ({_ROWS}) AS base JOIN work_items i ON i.id = base.id WHERE base.id = :id"
    )
    row = connection.execute(query, {"id": item_id}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no work item {item_id}")
    events = [
        {
            "at": event.at,
            "from": event.from_status,
            "to": event.to_status,
            "actor": event.actor,
            "data": event.data,
        }
        for event in get_events(connection, item_id)
    ]
    return {**row, "history": events}


def tree(connection: Connection, repository_id: int | None = None) -> list[dict[str, Any]]:
    """Return themes, epics and capabilities in tree order (depth from 0), with their counts of features."""
    query = text("""
        WITH RECURSIVE features AS (
            SELECT i.parent_id AS id, count(*) AS features, count(*) FILTER (WHERE w.status = 'done') AS done,
                   max(i.wsjf) FILTER (WHERE w.finished_at IS NULL) AS best
            FROM work_items i JOIN workflows w ON w.id = i.id
            WHERE i.level = :level GROUP BY i.parent_id
        ), tree AS (
            SELECT i.id, i.level, i.title, 0 AS depth, ARRAY[i.title, i.id::text] AS ordinals
            FROM work_items i
            WHERE i.parent_id IS NULL AND i.level <> ALL(:workable)
              AND (CAST(:repository_id AS bigint) IS NULL OR i.repository_id = :repository_id)
            UNION ALL
            SELECT i.id, i.level, i.title, t.depth + 1, t.ordinals || ARRAY[i.title, i.id::text]
            FROM tree t JOIN work_items i ON i.parent_id = t.id AND i.level <> ALL(:workable)
        )
        SELECT t.id, t.depth, t.level, w.status AS state, t.title, coalesce(f.features, 0) AS features,
               coalesce(f.done, 0) AS done, f.best
        FROM tree t JOIN workflows w ON w.id = t.id LEFT JOIN features f ON f.id = t.id
        WHERE w.status <> 'cancelled' ORDER BY t.ordinals
    """)
    values = {"repository_id": repository_id, "level": planned_level(), "workable": list(WORKABLE)}
    return [dict(row) for row in connection.execute(query, values).mappings()]


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """Return the id of the work item whose id begins with `prefix`.

    Raises:
        WorkflowNotFoundError: no id or several ids begin with it.
    """
    return resolve(connection, prefix, table="work_items", noun="work item", see="qflow work list")
