"""Bring issues of a file into the plan, and the plan into a file.

An issue that was imported before, or an item that was exported, is updated; nothing is created twice. Does not belong
here: what the files look like (`issue_formats`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text, update

from qflow_dagster.errors import QflowError
from qflow_dagster.execution import safe_work_planner, work_items, wsjf
from qflow_dagster.execution.issues import Issue, state_of
from qflow_dagster.execution.tables import work_items as table
from qflow_dagster.execution.text_changes import FAULT, days_left, requested_work
from qflow_dagster.execution.work_items import NewItem
from qflow_dagster.quantumflow import uuid7
from qflow_dagster.quantumflow.rows import to_jsonb

_ENDED = ("done", "cancelled")
_FIELDS = ("title", "description", "acceptance", "owner", "due", "points", "priority", "labels")


@dataclass
class ImportResult:
    """Numbers of issues by what became of them, and what of them could not be taken over."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    # Closed in the file and not in the plan.
    closed: int = 0
    notes: list[str] = field(default_factory=list)


def import_issues(
    connection: Connection,
    issues: Sequence[Issue],
    format_: str,
    *,
    repository_id: int | None = None,
    actor: str,
) -> ImportResult:
    """Create or update an item for each issue.

    Closed issues that the plan has not are left out: they were done before, so they must not count as done today in
    forecasts. States of epics and above follow from their children.
    """
    result = ImportResult()
    mentioned = {key for issue in issues for key in (issue.key, issue.parent, *issue.depends_on) if key}
    existing = _existing(connection, sorted(mentioned), format_)
    result.closed = sum(issue.key not in existing and issue.state in _ENDED for issue in issues)
    wanted = [
        replace(issue, level=work_items.level_in_force(issue.level))
        for issue in issues
        if issue.key in existing or issue.state not in _ENDED
    ]
    new = [issue for issue in wanted if issue.key not in existing]
    ids = {**{key: row["id"] for key, row in existing.items()}, **{issue.key: uuid7() for issue in new}}
    levels = {
        **{key: row["level"] for key, row in existing.items()},
        **{issue.key: issue.level for issue in new},
    }
    by_key = {issue.key: issue for issue in issues}
    items = []
    for issue in sorted(new, key=lambda issue: work_items.LEVELS.index(issue.level)):
        above = _parent(issue, by_key, levels)
        if issue.parent and above is None:
            result.notes.append(
                f"{issue.key}: its parent {issue.parent} is not in the plan, or not of a higher level"
            )
        parent = ids[above] if above else requested_work(connection, issue.level, repository_id, actor)
        items.append(_new(connection, issue, ids[issue.key], parent, f"{format_}:{issue.key}", repository_id))
    work_items.create(connection, items, actor=actor)
    result.created = len(items)
    started = [ids[i.key] for i in new if i.state == "in_progress" and i.level in work_items.WORKABLE]
    for issue in wanted:
        if issue.key in existing:
            changed = _update(connection, issue, existing[issue.key], actor)
            result.updated, result.unchanged = result.updated + changed, result.unchanged + (not changed)
    for issue in wanted:
        _depend(connection, issue, ids, result)
    work_items.move(connection, started, "in_progress", actor=actor)
    safe_work_planner.rank_texts(connection, list(ids.values()))
    return result


def export_issues(
    connection: Connection, format_: str, *, repository_id: int | None = None, state: str = "open"
) -> list[Issue]:
    """Return the items of the plan as issues; one that was imported from this format has the key it had there."""
    query = text("""
        SELECT i.*, w.status, w.key,
               ARRAY(SELECT d.depends_on_id FROM workflow_dependencies d WHERE d.workflow_id = i.id
                     ORDER BY d.depends_on_id) AS waits
        FROM work_items i JOIN workflows w ON w.id = i.id
        WHERE (CAST(:repository AS bigint) IS NULL OR i.repository_id = :repository)
          AND (:all OR w.finished_at IS NULL)
        ORDER BY array_position(CAST(:levels AS text[]), i.level), i.wsjf DESC NULLS LAST, i.created_at, i.id
    """)
    values = {"repository": repository_id, "all": state == "all", "levels": list(work_items.LEVELS)}
    rows = connection.execute(query, values).all()
    prefix = f"{_PREFIX}{format_}:"
    keys = {
        row.id: row.key.removeprefix(prefix) if (row.key or "").startswith(prefix) else str(row.id)
        for row in rows
    }
    return [
        Issue(
            key=keys[row.id],
            title=row.title,
            level=row.level,
            description=row.description,
            state=state_of(row.status),
            parent=keys.get(row.parent_id),
            owner=row.owner,
            due=row.due,
            points=row.points,
            priority=row.priority,
            labels=tuple(row.labels),
            depends_on=tuple(keys[id_] for id_ in row.waits if id_ in keys),
            acceptance=tuple(row.acceptance),
        )
        for row in rows
    ]


_PREFIX = "import:"


def _existing(connection: Connection, keys: Sequence[str], format_: str) -> dict[str, dict[str, Any]]:
    """Return the items that issues are: by the key of an earlier import, or by the id that an export wrote."""
    query = text(f"""
        SELECT k.key AS of_issue, i.id, i.level, w.status, {", ".join(f"i.{name}" for name in _FIELDS)}, i.inputs
        FROM unnest(CAST(:keys AS text[])) AS k(key)
        JOIN workflows w ON w.key = :prefix || k.key OR w.id::text = k.key JOIN work_items i ON i.id = w.id
    """)
    rows = connection.execute(query, {"keys": list(keys), "prefix": f"{_PREFIX}{format_}:"}).mappings()
    return {row["of_issue"]: dict(row) for row in rows}


def _parent(issue: Issue, by_key: Mapping[str, Issue], levels: Mapping[str, str]) -> str | None:
    """Return the nearest issue above that is in the plan and of a higher level, as the parent of a subtask is not."""
    seen: set[str] = set()
    above = issue.parent
    while above is not None and above not in seen:
        seen.add(above)
        if above in levels and work_items.LEVELS.index(levels[above]) < work_items.LEVELS.index(issue.level):
            return above
        above = by_key[above].parent if above in by_key else None
    return None


def _new(
    connection: Connection, issue: Issue, id_: UUID, parent: UUID | None, key: str, repository_id: int | None
) -> NewItem:
    return NewItem(
        id=id_,
        key=f"{_PREFIX}{key}",
        source="text",
        repository_id=repository_id,
        parent_id=parent,
        kind="business" if issue.level == "epic" else None,
        level=issue.level,
        inputs=_inputs(connection, issue),
        **{name: getattr(issue, name) for name in _FIELDS},
    )


def _inputs(connection: Connection, issue: Issue) -> dict[str, Any]:
    fault = "bug" in issue.labels or bool(FAULT.search(issue.title))
    inputs = wsjf.of_text(issue.priority, days_left(connection, issue.due), issue.points, issue.level, fault)
    return {name: value.as_json() for name, value in inputs.items()}


def _update(connection: Connection, issue: Issue, row: Mapping[str, Any], actor: str) -> bool:
    """Take over what differs; return whether anything did."""
    now = {name: getattr(issue, name) for name in _FIELDS}
    now |= {name: list(now[name]) for name in ("acceptance", "labels")}
    values = {name: value for name, value in now.items() if value != row[name]}
    id_, status = row["id"], state_of(row["status"])
    moved = row["level"] in work_items.WORKABLE and issue.state != status
    if status in _ENDED and not (moved and issue.state not in _ENDED):
        return False
    if status in _ENDED:
        work_items.move(connection, [id_], work_items.MACHINES[row["level"]].initial, actor=actor)
    if values:
        changes = {n: {"from": _json(row[n]), "to": _json(value)} for n, value in values.items()}
        work_items.note(connection, id_, actor=actor, data={"import": issue.key, **changes})
        # What a person or a measure says of the score stays.
        stated = {name: value for name, value in row["inputs"].items() if value["source"] != "text"}
        if len(stated) < len(row["inputs"]):
            values["inputs"] = {**_inputs(connection, issue), **stated}
        stored = {
            n: to_jsonb(v, f"the {n}") if n in ("acceptance", "labels", "inputs") else v
            for n, v in values.items()
        }
        connection.execute(update(table).where(table.c.id == id_).values(**stored))
    if moved and issue.state != "open":
        work_items.move(connection, [id_], issue.state, actor=actor)
    elif moved and status == "in_progress":
        work_items.move(connection, [id_], work_items.MACHINES[row["level"]].initial, actor=actor)
    return bool(values) or moved


def _json(value: object) -> object:
    return value if value is None or isinstance(value, str | int | list) else str(value)


def _depend(connection: Connection, issue: Issue, ids: Mapping[str, UUID], result: ImportResult) -> None:
    for key in issue.depends_on:
        if key not in ids:
            result.notes.append(f"{issue.key}: it depends on {key}, which is not in the plan")
            continue
        try:
            with connection.begin_nested():
                work_items.depend(connection, ids[issue.key], [ids[key]])
        except QflowError as error:
            result.notes.append(f"{issue.key}: its dependency on {key} is left out: {error}")
