"""Reading of error groups, and people's decisions on them.

Does not belong here: creating groups (`error_analysis`).
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, select, text, update

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.infrastructure import ERROR_GROUP_MACHINE
from qflow_dagster.infrastructure.classification import CLASSES
from qflow_dagster.infrastructure.frame_kinds import is_own
from qflow_dagster.infrastructure.frame_names import shown_frame
from qflow_dagster.infrastructure.stacks import MAX_STACK_LENGTH, chain_from, chain_of
from qflow_dagster.infrastructure.tables import (
    discarded_events,
    error_groups,
    error_occurrences,
    operation_successes,
    release_sessions,
)
from qflow_dagster.quantumflow import resolve, transition
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.settings import settings

# Frames of a chain of exceptions that a suspected commit is looked for.
MAX_SUSPECTS = 100
EVENT_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ADVICE = {declared.name: declared.advice for declared in CLASSES}
STATES = ERROR_GROUP_MACHINE.states

# A group with all that was merged into it.
_GROUPS = """
    SELECT g.id, w.status AS state, g.operation, g.kind, g.message, g.classification, g.retryable, g.severity,
           parts.count, parts.first_seen, parts.last_seen, g.first_release, g.last_release, g.resolved_in,
           g.merged_into, g.frames, g.suspect
    FROM error_groups g JOIN workflows w ON w.id = g.id
    CROSS JOIN LATERAL (
        SELECT sum(p.count)::bigint AS count, min(p.first_seen) AS first_seen, max(p.last_seen) AS last_seen
        FROM error_groups p WHERE p.id = g.id OR p.merged_into = g.id
    ) AS parts
"""


def find(
    connection: Connection, *, state: str | None = None, operation: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Return error groups, the latest seen first; without `state` all that are not resolved, muted or merged.

    Raises:
        UsageError: The state is unknown.
    """
    if state is not None and state not in (*STATES, "all"):
        raise UsageError(f"{state!r} is not a state of an error; valid ones: {', '.join(STATES)}, all")
    states = {None: ["open", "acknowledged", "regressed"], "all": list(STATES)}.get(state, [state])
    query = text(f"""
        {_GROUPS}
        WHERE w.status = ANY(:states) AND (CAST(:operation AS text) IS NULL OR g.operation = :operation)
        ORDER BY parts.last_seen DESC LIMIT :limit
    """)
    rows = connection.execute(query, {"states": states, "operation": operation, "limit": limit})
    return [dict(row) for row in rows.mappings()]


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """Return the error group whose id begins with `prefix`, or that an event of an SDK with this id belongs to.

    Raises as `quantumflow.resolve`.
    """
    columns = error_occurrences.c
    if EVENT_ID.fullmatch(prefix):
        query = select(columns.group_id).where(columns.event_id == prefix.replace("-", ""))
        group: UUID | None = connection.scalar(query)
        if group is not None:
            return _shown_as(connection, group)
    return _shown_as(connection, resolve(connection, prefix, table="error_groups", noun="error"))


def _shown_as(connection: Connection, group_id: UUID) -> UUID:
    columns = error_groups.c
    return connection.scalar(select(columns.merged_into).where(columns.id == group_id)) or group_id


def show(connection: Connection, group_id: UUID, *, occurrences: int = 5) -> dict[str, Any]:
    """Return a group with its advice, what was merged into it, the users it affected and its last occurrences.

    The number of users is that of the occurrences that are still kept.

    Raises:
        QflowError: There is no such group.
    """
    row = connection.execute(text(f"{_GROUPS} WHERE g.id = :id"), {"id": group_id}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no error group {group_id}; see qflow errors list")
    group = dict(row)
    columns = error_groups.c
    merged = connection.scalars(select(columns.id).where(columns.merged_into == group_id)).all()
    parts = [group_id, *merged]
    latest = text("""
        SELECT least(greatest(at, statement_timestamp() - interval '100 years'), statement_timestamp()) AS at,
               message, severity, source, correlation_id, run_id, context, stack, exceptions
        FROM error_occurrences WHERE group_id = ANY(:parts) ORDER BY id DESC LIMIT :limit
    """)
    rows = connection.execute(latest, {"parts": parts, "limit": occurrences}).mappings()
    users = text("""
        SELECT count(DISTINCT context ->> 'user') FROM error_occurrences
        WHERE group_id = ANY(:parts) AND jsonb_typeof(context) = 'object'
    """)
    return {
        **group,
        "users": connection.scalar(users, {"parts": parts}),
        "merged": list(merged),
        "advice": ADVICE[group["classification"]],
        "occurrences": [dict(row) for row in rows],
    }


def threads(context: Any) -> list[dict[str, str]]:
    """Return the threads in the context of an occurrence, each with its stack, the innermost frame last."""
    stored = context.get("threads") if isinstance(context, dict) else None
    names = ("id", "name", "is", "state", "stack")
    return [
        {name: str(thread.get(name, "")) for name in names}
        for thread in (stored if isinstance(stored, list) else ())
        if isinstance(thread, dict)
    ]


def decide(
    connection: Connection,
    ids: Sequence[UUID],
    state: str,
    *,
    actor: str,
    reason: str | None = None,
    release: str | None = None,
) -> None:
    """Acknowledge, resolve, mute or reopen groups: all or none. Raises as `transition`.

    `release` is the one that contains the fix: what occurs in earlier ones is no regression.
    """
    data = {name: value for name, value in (("reason", reason), ("release", release)) if value}
    transition(connection, ids, state, actor=actor, data=data or None)
    connection.execute(update(error_groups).where(error_groups.c.id.in_(ids)).values(resolved_in=release))


class Unsuspected(NamedTuple):
    """A group without a suspected commit; `frames` are file, line, function and source of calls, outermost first."""

    id: UUID
    frames: list[dict[str, Any]]
    first_seen: datetime
    release: str | None


def without_suspect(connection: Connection, ids: Sequence[UUID]) -> list[Unsuspected]:
    """Return those of the groups that have frames and no suspected commit.

    The frames are those of the program in the whole chain of exceptions, or what the group keeps of them.
    """
    query = text(f"""
        SELECT g.id, g.kind, g.message, g.frames, g.first_seen, g.first_release, o.exceptions, o.stack
        FROM error_groups g LEFT JOIN LATERAL (
            SELECT exceptions, left(stack, {MAX_STACK_LENGTH}) AS stack FROM error_occurrences
            WHERE group_id = g.id ORDER BY id DESC LIMIT 1
        ) AS o ON true
        WHERE g.id = ANY(:ids) AND g.suspect IS NULL AND g.frames <> '[]'
    """)
    return [
        Unsuspected(row.id, _frames_of_chain(row) or row.frames, row.first_seen, row.first_release)
        for row in connection.execute(query, {"ids": list(ids)})
    ]


def _frames_of_chain(row: Row[Any]) -> list[dict[str, Any]]:
    chain = chain_from(row.exceptions) if row.exceptions else chain_of(row.kind, row.message, row.stack)
    frames = [frame for raised in chain for frame in raised.frames if is_own(frame) is not False]
    return [{**shown_frame(frame), "source": frame.source} for frame in frames[-MAX_SUSPECTS:]]


def set_suspects(connection: Connection, suspects: dict[UUID, dict[str, Any]]) -> None:
    """Store the suspected commit of each group."""
    update = text("""
        UPDATE error_groups g SET suspect = given.suspect
        FROM json_to_recordset(CAST(:given AS json)) AS given(id uuid, suspect jsonb) WHERE g.id = given.id
    """)
    rows = [{"id": str(id_), "suspect": suspect} for id_, suspect in suspects.items()]
    connection.execute(update, {"given": to_json(rows, "a suspected commit")})


def newest_unanalyzed(connection: Connection) -> int | None:
    """Return the highest id of an occurrence that belongs to no group yet; None where there is none."""
    columns = error_occurrences.c
    query = select(columns.id).where(columns.group_id.is_(None)).order_by(columns.id.desc()).limit(1)
    return connection.scalar(query)


def newest_unanalyzed_time(connection: Connection) -> float | None:
    """Return when the newest occurrence that belongs to no group yet came (seconds since the epoch)."""
    columns = error_occurrences.c
    query = select(func.extract("epoch", columns.at)).where(columns.group_id.is_(None))
    at = connection.scalar(query.order_by(columns.id.desc()).limit(1))
    return None if at is None else float(at)


def is_recorded(connection: Connection, operation: str, run_id: str) -> bool:
    """Return whether the failure of a run of an operation was recorded in the last day."""
    columns = error_occurrences.c
    query = select(columns.id).where(
        columns.operation == operation,
        columns.run_id == run_id,
        columns.at > func.statement_timestamp() - timedelta(days=1),
    )
    return bool(connection.scalar(select(query.exists())))


def timeline(connection: Connection, *, hours: int = 24, buckets: int = 96) -> list[dict[str, Any]]:
    """Return errors and successes per bucket of the last `hours`, oldest first, over all operations."""
    query = text("""
        WITH bucket AS (
            SELECT n, statement_timestamp() - make_interval(secs => :seconds * (:buckets - n)) AS since
            FROM generate_series(0, :buckets - 1) AS n
        )
        SELECT since AS at,
               (SELECT count(*) FROM error_occurrences
                WHERE at >= since AND at < since + make_interval(secs => :seconds)) AS errors,
               (SELECT coalesce(sum(count), 0) FROM operation_successes
                WHERE at >= since AND at < since + make_interval(secs => :seconds))::bigint AS successes
        FROM bucket ORDER BY n
    """)
    rows = connection.execute(query, {"seconds": hours * 3_600.0 / buckets, "buckets": buckets})
    return [dict(row) for row in rows.mappings()]


def daily(connection: Connection, group_id: UUID, *, days: int = 30) -> list[dict[str, Any]]:
    """Return the kept occurrences of a group per day of the last `days`, oldest first; days without any have 0."""
    query = text("""
        SELECT day, coalesce(n, 0) AS occurrences
        FROM generate_series(date_trunc('day', statement_timestamp()) - make_interval(days => :days - 1),
                             statement_timestamp(), interval '1 day') AS day
        LEFT JOIN (SELECT date_trunc('day', at) AS day, count(*) AS n FROM error_occurrences
                   WHERE group_id = :id GROUP BY 1) AS counted USING (day)
        ORDER BY day
    """)
    return [dict(row) for row in connection.execute(query, {"id": group_id, "days": days}).mappings()]


def totals(connection: Connection) -> list[tuple[str, int]]:
    """Return the number of errors ever recorded in groups, by type; the type that was seen first is first."""
    columns = error_groups.c
    query = (
        select(columns.kind, func.sum(columns.count).label("total"))
        .group_by(columns.kind)
        .order_by(func.min(columns.first_seen), columns.kind)
    )
    return [(row.kind, int(row.total)) for row in connection.execute(query)]


def prune_occurrences(connection: Connection) -> int:
    """Delete occurrences, successes and sessions past their retention, but not groups; return the number."""
    oldest = func.statement_timestamp() - timedelta(days=settings().errors.retention)
    occurrences = delete(error_occurrences).where(
        error_occurrences.c.at < oldest, error_occurrences.c.group_id.is_not(None)
    )
    successes = delete(operation_successes).where(operation_successes.c.at < oldest)
    last_day = func.current_date() - settings().errors.retention
    counts = [delete(table).where(table.c.day < last_day) for table in (release_sessions, discarded_events)]
    return sum(connection.execute(statement).rowcount for statement in (occurrences, successes, *counts))
