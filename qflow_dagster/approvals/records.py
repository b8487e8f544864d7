"""Approvals as people and programs read them: one whole, its history, exports, disagreements.

Does not belong here: lists (`lists`), anything that changes an approval (`arbiter`).
"""

import csv
import io
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text

from qflow_dagster.approvals.approval import TYPES, digest_of
from qflow_dagster.approvals.deciders import delegations
from qflow_dagster.approvals.lists import COLUMNS, TYPE_LIST
from qflow_dagster.approvals.tables import approval_decisions, approval_refusals, approvals
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import ArchiveMissingError, get_events, verify_history
from qflow_dagster.quantumflow import resolve as resolve_id
from qflow_dagster.safety.display import is_formula, visible

# The first two events of every approval; the second freezes what is asked for.
_NAMES = {1: "created", 2: "requested"}


def resolve(connection: Connection, prefix: str) -> UUID:
    """Return the approval whose id begins with `prefix`. Raises as `quantumflow.resolve`."""
    return resolve_id(connection, prefix, table="approvals", noun="approval")


def show(connection: Connection, approval_id: UUID) -> dict[str, Any]:
    """Return one approval with its content, evidence, decisions and comments.

    Raises:
        UsageError: there is none with that id.
    """
    query = text(f"""
        SELECT {COLUMNS}, a.content, a.evidence, a.form
        FROM approvals a LEFT JOIN workflows w ON w.id = a.id WHERE a.id = :id
    """)
    row = connection.execute(query, {"id": approval_id}).mappings().one_or_none()
    if row is None:
        raise UsageError(f"there is no approval {approval_id}")
    return {
        **row,
        "decisions": _decisions(connection, approval_id),
        "delegations": delegations(connection, approval_id),
        "comments": comments(connection, approval_id),
    }


def approval_history(connection: Connection, approval_id: UUID) -> list[dict[str, Any]]:
    """Everything that happened to it, oldest first: its events, and refused uses with their reason."""
    events = [
        {
            "at": event.at,
            "actor": event.actor,
            "event": _NAMES.get(event.seq) or (event.data or {}).get("decision", event.to_status),
            "status": event.to_status,
            "data": event.data,
            "run_id": event.run_id,
        }
        for event in get_events(connection, approval_id)
    ]
    table = approval_refusals.c
    query = (
        select(table.at, table.reason, table.presented)
        .where(table.approval_id == approval_id)
        .order_by(table.id)
    )
    refusals = [
        {
            "at": row.at,
            "actor": row.presented.get("actor"),
            "event": f"refused: {row.reason}",
            "status": None,
            "data": row.presented,
            "run_id": row.presented.get("run_id"),
        }
        for row in connection.execute(query)
    ]
    return sorted([*events, *refusals], key=lambda entry: entry["at"])


def export(connection: Connection) -> Iterator[dict[str, Any]]:
    """Yield every complete approval with its history, oldest first; archived ones too.

    A history whose archive cannot be read is empty, and `problem` says why.
    """
    ids = connection.scalars(select(approvals.c.id).order_by(approvals.c.id)).all()
    for id_ in ids:
        try:
            yield {**show(connection, id_), "history": approval_history(connection, id_)}
        except ArchiveMissingError as missing:
            yield {**show(connection, id_), "history": [], "problem": str(missing)}


def as_csv(rows: Iterator[dict[str, Any]]) -> str:
    """Return an export as CSV: one line per event of each approval."""
    buffer = io.StringIO()
    fixed = (
        "id",
        "kind",
        "target",
        "status",
        "requested_by",
        "reason",
        "digest",
        "requested_at",
        "expires_at",
    )
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*fixed, "event_at", "event", "event_actor", "event_comment", "event_run_id"])
    for row in rows:
        for entry in row["history"]:
            data = entry["data"] or {}
            comment = data.get("comment") or data.get("reason")
            values = [
                *(row[name] for name in fixed),
                entry["at"],
                entry["event"],
                entry["actor"],
                comment,
                entry["run_id"],
            ]
            writer.writerow([_harmless(value) for value in values])
    return buffer.getvalue()


def disagreements(connection: Connection, *, limit: int = 1_000) -> list[dict[str, str]]:
    """Return open approvals whose content is not what was asked for, or whose history was tampered with."""
    query = text(f"""
        SELECT a.id, a.kind, a.target, a.content, a.digest,
               (SELECT e.data ->> 'digest' FROM workflow_events e WHERE e.workflow_id = a.id AND e.seq = 2)
                   AS asked
        FROM workflows w JOIN approvals a ON a.id = w.id
        WHERE w.type IN ({TYPE_LIST}) AND w.status IN ('pending', 'approved') ORDER BY w.id LIMIT :limit
    """)
    problems = []
    for row in connection.execute(query, {"limit": limit}).all():
        if not row.digest == digest_of(row.kind, row.target, row.content) == bytes.fromhex(row.asked or ""):
            problems.append({"id": str(row.id), "problem": "its content is not what was asked for"})
        broken = verify_history(connection, row.id)
        if broken:
            problems.append({"id": str(row.id), "problem": broken.reason})
    return problems


def pending_past_expiry(connection: Connection, grace: float = 120.0) -> int:
    """Return approvals still open `grace` seconds after they expired: the sweep does not run."""
    query = text(f"""
        SELECT count(*) FROM workflows WHERE type IN ({TYPE_LIST}) AND status IN ('pending', 'approved')
        AND expires_at <= statement_timestamp() - make_interval(secs => :grace)
    """)
    return connection.scalar(query, {"grace": grace}) or 0


def about_to_expire(connection: Connection) -> int:
    """Return how many pending approvals have been warned of and expire without a decision."""
    query = text(f"""
        SELECT count(*) FROM approvals a JOIN workflows w ON w.id = a.id
        WHERE w.status = 'pending' AND w.type IN ({TYPE_LIST}) AND a.warn_at IS NULL
          AND w.expires_at > statement_timestamp()
    """)
    return connection.scalar(query) or 0


def newest_approved(connection: Connection, kind: str) -> UUID | None:
    """Return the newest approval of a kind that waits to be used; None where none does."""
    query = text(f"""
        SELECT id FROM workflows WHERE type = '{TYPES[kind]}' AND status = 'approved' ORDER BY id DESC LIMIT 1
    """)  # pyright: ignore[reportArgumentType]
    return connection.scalar(query)


def newest_approval_time(connection: Connection, kind: str) -> float | None:
    """Return when the last of the approvals of a kind that wait to be used was given (seconds since the epoch)."""
    query = text(f"""
        SELECT extract(epoch FROM max(updated_at))::float8 FROM workflows
        WHERE type = '{TYPES[kind]}' AND status = 'approved'
    """)  # pyright: ignore[reportArgumentType]
    return connection.scalar(query)


def _decisions(connection: Connection, approval_id: UUID) -> list[dict[str, Any]]:
    table = approval_decisions.c
    query = (
        select(table.actor, table.decision, table.comment, table.answers, table.on_behalf_of, table.at)
        .where(table.approval_id == approval_id)
        .order_by(table.at, table.actor)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def comments(connection: Connection, approval_id: UUID) -> list[dict[str, Any]]:
    """Return the comments of those who did not decide with them; none if its archive cannot be read."""
    try:
        events = get_events(connection, approval_id)
    except ArchiveMissingError:
        return []
    return [
        {"actor": event.actor, "comment": event.data["comment"], "at": event.at}
        for event in events
        if event.data and event.data.get("decision") == "comment"
    ]


def _harmless(value: Any) -> str:
    """Return a CSV cell that shows what it holds, and that a spreadsheet does not take for a formula."""
    cell = "" if value is None else visible(str(value))
    return f"'{cell}" if is_formula(cell) else cell
