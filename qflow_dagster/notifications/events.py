"""Messages of queues as events that people can act on: what is about what, how severe, where to look.

Belongs here: reading the facts of the workflow that a message is about. Does not belong here: the texts (`rendering`),
which endpoint gets them (`delivery`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, func, select, text

from qflow_dagster.approvals.tables import approval_decisions, approvals
from qflow_dagster.infrastructure import CIRCUIT_BREAKER, ERROR_GROUP, INCIDENT
from qflow_dagster.infrastructure.tables import error_groups
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.settings import settings

SEVERITIES = ("info", "warning", "error", "critical")
APPROVAL_TYPES = frozenset(
    {
        WorkflowTypeName.EDIT_APPROVAL,
        WorkflowTypeName.WORKFLOW_APPROVAL,
        WorkflowTypeName.RULE_APPROVAL,
        WorkflowTypeName.ROLLBACK_APPROVAL,
    }
)
KINDS = {ERROR_GROUP: "error", INCIDENT: "incident", CIRCUIT_BREAKER: "circuit_breaker"}
HEALTH_SEVERITY = {"healthy": "info", "unknown": "warning", "degraded": "warning", "unhealthy": "critical"}
# A message's own fields that say which workflow it is about, not what happened.
INTERNAL = frozenset({"workflow_id", "type", "event", "to", "from", "key", "seq", "attempt"})
# The sentences of a request for approval by label; they are made where suggestions and rules are known.
Explain = Callable[[Connection, UUID], Mapping[str, str]]
# Events of error rates, and their severities.
RATE_EVENTS = {
    "high_error_rate": "error",
    "error_spike": "error",
    "new_error_level": "warning",
    "recovered": "info",
}


@dataclass(frozen=True)
class Event:
    """A message with the facts of what it is about; `kind` is the name of its template."""

    kind: str
    severity: str = "info"
    fields: dict[str, Any] = field(default_factory=dict)
    link: str | None = None


def describe(
    connection: Connection, queue: str, payloads: Sequence[Any], explain: Explain | None = None
) -> list[Event | None]:
    """Return the event of each message; None for one that is no news.

    `explain` adds to each request what its page says. No news are the creation of an approval, because its request
    follows in the same transaction, and that of a circuit breaker, which begins closed.
    """
    rows = _workflows(connection, payloads)
    by_type: dict[str, list[UUID]] = {}
    for row in rows.values():
        by_type.setdefault(row.type, []).append(row.id)
    facts: dict[UUID, dict[str, Any]] = {}
    facts |= _approvals(connection, [id_ for name in APPROVAL_TYPES for id_ in by_type.get(name, ())])
    facts |= _errors(connection, by_type.get(ERROR_GROUP, ()))
    events = [_event(queue, payload, rows, facts) for payload in payloads]
    for event in events:
        if (
            explain
            and event
            and event.kind == "approval"
            and event.fields["state"] in ("requested", "expiring")
        ):
            event.fields["sentences"] = explain(connection, UUID(str(event.fields["workflow_id"])))
    return events


def _event(
    queue: str, payload: Any, rows: Mapping[tuple[str, int], Any], facts: Mapping[UUID, dict[str, Any]]
) -> Event | None:
    fields: dict[str, Any] = dict(payload) if isinstance(payload, Mapping) else {"message": payload}
    event = str(fields.get("event") or fields.get("to") or "message")
    row = rows.get(_key(fields))
    if row is None:
        kind = "error_rate" if event in RATE_EVENTS else "message"
        about = str(fields.get("type") or fields.get("operation") or queue)
        severity = RATE_EVENTS.get(event, "info")
        return Event(kind, severity, {**fields, "event": event, "about": about, "details": _details(fields)})
    title = (row.payload or {}).get("title") if isinstance(row.payload, Mapping) else None
    data = row.data if isinstance(row.data, Mapping) else {}
    fields = {
        **(row.payload if isinstance(row.payload, Mapping) else {}),
        **facts.get(row.id, {}),
        **data,
        **fields,
        "event": event,
        "state": event,
        "title": title or row.type,
        "about": title or row.type,
        "details": _details(fields),
    }
    if row.type in APPROVAL_TYPES:
        return _approval_event(row.id, fields)
    if row.type == INCIDENT:
        # An open incident changes: what is now counts, not that it is still open.
        status = str(fields.get("status", "unknown"))
        fields["state"] = status
        return Event("incident", HEALTH_SEVERITY.get(status, "warning"), fields, _page("health"))
    if row.type == ERROR_GROUP:
        new = event in ("open", "regressed")
        severity = fields.get("severity", "error") if new else "info"
        return Event("error", severity, fields, _page("errors", row.id))
    if row.type == CIRCUIT_BREAKER:
        if fields.get("from") is None:
            return None
        return Event(
            "circuit_breaker", "error" if event == "open" else "info", fields, _page("workflows", row.id)
        )
    return Event("message", "error" if event == "dead" else "info", fields, _page("workflows", row.id))


def _approval_event(id_: UUID, fields: dict[str, Any]) -> Event | None:
    if fields.get("decision") == "token":
        return None
    if fields.get("event") == "pending":
        if fields.get("from") is None:
            return None
        states = {
            "approve": "one approval more",
            "comment": "comment",
            "delegated": "delegated",
            "reassigned": "reassigned",
        }
        fields["state"] = states.get(str(fields.get("decision")), "requested")
    risk = fields.get("risk")
    severity = "warning" if fields["state"] == "expiring" or risk == "high" else "info"
    if fields["state"] == "expiring" and fields.get("reminder") == fields.get("reminders"):
        severity = "error"
    return Event("approval", severity, fields, _page("approvals", id_))


def _page(section: str, id_: UUID | None = None) -> str:
    """Return the address of the page about something."""
    return "/".join(str(part) for part in (settings().inbox.address, section, id_) if part is not None)


def _details(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in INTERNAL and value is not None}


def _key(fields: Mapping[str, Any]) -> tuple[str, int]:
    seq = fields.get("seq")
    return str(fields.get("workflow_id")), seq if isinstance(seq, int) else 0


def _workflows(connection: Connection, payloads: Iterable[Any]) -> dict[tuple[str, int], Any]:
    """Return the workflow of each message, with the data of the message's event."""
    keys = {
        _key(payload) for payload in payloads if isinstance(payload, Mapping) and "workflow_id" in payload
    }
    given = [(id_, seq) for text_id, seq in keys if (id_ := _uuid(text_id))]
    if not given:
        return {}
    query = text("""
        SELECT w.id, w.type, w.payload, given.seq, e.data
        FROM unnest(CAST(:ids AS uuid[]), CAST(:seqs AS bigint[])) AS given(id, seq)
        JOIN workflows w ON w.id = given.id
        LEFT JOIN workflow_events e ON e.workflow_id = w.id AND e.seq = given.seq
    """)
    found = connection.execute(query, {"ids": [id_ for id_, _ in given], "seqs": [seq for _, seq in given]})
    return {(str(row.id), row.seq): row for row in found}


def _approvals(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    if not ids:
        return {}
    columns, decided = approvals.c, approval_decisions.c
    last = (
        select(decided.comment)
        .where(decided.approval_id == columns.id)
        .order_by(decided.at.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(
        columns.id,
        columns.kind,
        columns.target,
        columns.reason,
        columns.requested_by,
        columns.required_approvals,
        func.to_char(func.timezone("UTC", columns.expires_at), "YYYY-MM-DD HH24:MI UTC").label("expires_at"),
        columns.risk,
        columns.owner,
        columns.repository,
        last.label("comment"),
    ).where(columns.id.in_(ids))
    return {row["id"]: _present(row) for row in connection.execute(query).mappings()}


def _errors(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    if not ids:
        return {}
    columns = error_groups.c
    query = select(
        columns.id,
        columns.operation,
        columns.kind,
        columns.message,
        columns.severity,
        columns.count,
        columns.frames,
        columns.suspect,
        func.to_char(func.timezone("UTC", columns.last_seen), "YYYY-MM-DD HH24:MI UTC").label("last_seen"),
    ).where(columns.id.in_(ids))
    found = {}
    for row in connection.execute(query).mappings():
        fields = _present(row)
        fields["error"] = fields.pop("kind")
        frames, suspect = fields.pop("frames", None), fields.pop("suspect", None)
        if frames:
            fields["place"] = f"{frames[-1]['file']}:{frames[-1]['line']} in {frames[-1]['function']}"
        if suspect:
            fields["repository"], fields["owner"] = suspect.get("repository"), suspect.get("author")
            words = (str(suspect.get("commit", ""))[:10], suspect.get("subject"), suspect.get("author"))
            fields["suspect"] = " ".join(str(word) for word in words if word)
        found[row["id"]] = fields
    return found


def _present(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if name != "id" and value is not None}


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
