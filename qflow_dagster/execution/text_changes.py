"""What a classified text does to the plan: it creates, updates, splits, merges, closes or reopens items.

Does not belong here: classifying (`classifier`), whether a person has to decide first (`work_chunks`).
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, func, select, update

from qflow_dagster.errors import QflowError
from qflow_dagster.execution import safe_work_planner, work_items, wsjf
from qflow_dagster.execution.tables import work_items as table
from qflow_dagster.execution.work_items import NewItem
from qflow_dagster.quantumflow.rows import to_jsonb

_FINISHED = re.compile(
    r"\b(?:done|fixed|finished|complete[d]?|deployed|shipped|released|resolved|merged)\b", re.I
)
FAULT = re.compile(r"\b(?:bug|crash\w*|fix\w*|error|fail\w*|broken|wrong|exception|traceback|defect)\b", re.I)
REQUESTS = "Requested work"


class Request(NamedTuple):
    """A text (its id), its stored analysis, and who applies it."""

    chunk: UUID
    analysis: dict[str, Any]
    actor: str

    def about(self, position: int = 0) -> UUID:
        """Return an item that the text is about.

        Raises:
            QflowError: it names no item.
        """
        ids = self.analysis["about"]
        if position >= len(ids):
            raise QflowError(
                "the text names no work item that exists; reject it, or write its id with --updates"
            )
        return UUID(ids[position])

    def note(self, connection: Connection, item: UUID, **changes: Any) -> None:
        """Record in the history of an item what the text does to it."""
        work_items.note(connection, item, actor=self.actor, data={"text": str(self.chunk), **changes})


def _create(connection: Connection, request: Request) -> UUID:
    a = request.analysis
    stated = a["stated"]
    parent = (
        UUID(a["parent_id"])
        if a["parent_id"]
        else requested_work(connection, a["level"], a["repository_id"], request.actor)
    )
    due = date.fromisoformat(stated["due"]) if "due" in stated else None
    inputs = wsjf.of_text(
        stated.get("priority"),
        days_left(connection, due),
        stated.get("points"),
        a["level"],
        bool(FAULT.search(a["description"])),
    )
    new = NewItem(
        level=a["level"],
        title=a["name"],
        description=a["description"],
        source="text",
        kind=a["kind"],
        acceptance=a["acceptance"],
        repository_id=a["repository_id"],
        parent_id=parent,
        key=f"chunk:{request.chunk}",
        inputs={name: value.as_json() for name, value in inputs.items()},
        owner=stated.get("owner"),
        due=due,
        points=stated.get("points"),
        priority=stated.get("priority"),
        labels=tuple(stated.get("labels", ())),
    )
    [item] = work_items.create(connection, [new], actor=request.actor)
    _depend(connection, request, item)
    safe_work_planner.rank_texts(connection, [item])
    return item


def requested_work(connection: Connection, level: str, repository_id: int | None, actor: str) -> UUID | None:
    """Return the item under which requests stand that resemble no other; None: the level has none above."""
    levels = work_items.hierarchy()
    if levels.index(level) == 0:
        return None
    above = "theme" if level == "epic" else "epic"
    new = NewItem(
        level=above,
        key=f"{repository_id}:requests:{above}",
        title=REQUESTS,
        kind="business" if above == "epic" else None,
        repository_id=repository_id,
    )
    [parent] = work_items.create(connection, [new], actor=actor)
    if work_items.show(connection, parent)["state"] in ("done", "cancelled"):
        work_items.move(connection, [parent], work_items.MACHINES[above].initial, actor=actor)
    return parent


def _depend(connection: Connection, request: Request, item: UUID) -> None:
    needs = [UUID(id_) for id_ in request.analysis.get("needs", []) if UUID(id_) != item]
    if needs:
        work_items.depend(connection, item, needs)


def _update(connection: Connection, request: Request) -> UUID:
    a, item = request.analysis, request.about()
    before = work_items.show(connection, item)
    # A text that a person passed for an item replaces its description; others add to it.
    parts = [a["description"]] if a.get("replaces") else [before["description"], a["description"]]
    values: dict[str, Any] = {"description": "\n\n".join(part for part in parts if part)}
    values |= {
        name: a["stated"][name] for name in ("title", "owner", "points", "priority") if name in a["stated"]
    }
    due = date.fromisoformat(a["stated"]["due"]) if "due" in a["stated"] else None
    if due is not None:
        values["due"] = due
    if labels := a["stated"].get("labels"):
        values["labels"] = list(dict.fromkeys([*before["labels"], *labels]))
    if a["acceptance"]:
        values["acceptance"] = list(dict.fromkeys([*before["acceptance"], *a["acceptance"]]))
    changes = {name: {"from": _plain(before[name]), "to": _plain(value)} for name, value in values.items()}
    request.note(connection, item, **changes)
    stored = {
        name: to_jsonb(value, f"the {name}") if name in ("labels", "acceptance") else value
        for name, value in values.items()
    }
    connection.execute(update(table).where(table.c.id == item).values(**stored))
    _depend(connection, request, item)
    priority, points = (a["stated"].get(name) for name in ("priority", "points"))
    of_text = wsjf.of_text(priority, days_left(connection, due), points, before["level"], False)
    stating = {"business_value": "priority", "time_criticality": "due", "job_size": "points"}
    inputs = {
        name: {**of_text[name].as_json(), "source": request.actor}
        for name, field in stating.items()
        if field in a["stated"]
    }
    if inputs:
        merged = table.c.inputs.concat(to_jsonb(inputs, "the inputs"))
        connection.execute(update(table).where(table.c.id == item).values(inputs=merged))
        safe_work_planner.rank_texts(connection, [item])
    return item


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def days_left(connection: Connection, due: date | None) -> int | None:
    """Return the days until a due date; None: there is none."""
    today = connection.scalar(select(func.current_date()))
    return (due - today).days if due is not None and today is not None else None


def _duplicate(connection: Connection, request: Request) -> UUID:
    item = request.about()
    request.note(connection, item, duplicate=request.analysis["description"][:1_000])
    return item


def _split(connection: Connection, request: Request) -> UUID:
    item, parts = request.about(), request.analysis["parts"]
    if len(parts) < 2:
        raise QflowError(
            "the text does not say into what the item is to be split; reject it, and list the parts"
        )
    before = work_items.show(connection, item)
    repository = connection.scalar(select(table.c.repository_id).where(table.c.id == item))
    new = [
        NewItem(
            level=before["level"],
            title=part if len(part) <= 60 else f"{part[:59].rstrip()}\u2026",
            description=f"{part}\n\nPart of: {before['title']}",
            source="text",
            kind=before["kind"],
            repository_id=repository,
            parent_id=before["parent_id"],
            owner=before["owner"],
            due=before["due"],
            inputs=before["inputs"],
            key=f"chunk:{request.chunk}:{number}",
        )
        for number, part in enumerate(parts)
    ]
    ids = work_items.create(connection, new, actor=request.actor)
    safe_work_planner.rank_texts(connection, ids)
    _end(connection, request, item, "cancelled", reason="split", into=[str(id_) for id_ in ids])
    return ids[0]


def _merge(connection: Connection, request: Request) -> UUID:
    merged, into = request.about(0), request.about(1)
    rows = {id_: work_items.show(connection, id_) for id_ in (merged, into)}
    request.note(connection, into, merged=str(merged))
    children = connection.scalars(select(table.c.id).where(table.c.parent_id == merged)).all()
    if rows[merged]["level"] == rows[into]["level"]:
        work_items.set_parents(connection, dict.fromkeys(children, into))
    elif children:
        raise QflowError(
            f"{rows[merged]['title']!r} has items below it, and cannot become part of another level"
        )
    description = (
        f"{rows[into]['description']}\n\n{rows[merged]['title']}\n{rows[merged]['description']}".strip()
    )
    connection.execute(update(table).where(table.c.id == into).values(description=description))
    _end(connection, request, merged, "cancelled", reason="merged", into=str(into))
    return into


def _close(connection: Connection, request: Request) -> UUID:
    item = request.about()
    state = "done" if _FINISHED.search(request.analysis["description"]) else "cancelled"
    _end(connection, request, item, state, reason=request.analysis["description"][:1_000])
    return item


def _reopen(connection: Connection, request: Request) -> UUID:
    item = request.about()
    level = work_items.show(connection, item)["level"]
    _end(
        connection,
        request,
        item,
        work_items.MACHINES[level].initial,
        reason=request.analysis["description"][:1_000],
    )
    return item


def _end(connection: Connection, request: Request, item: UUID, state: str, **data: Any) -> None:
    values = {"text": str(request.chunk), **data}
    work_items.move(connection, [item], state, actor=request.actor, data=values)


# What each action does; it returns the item that the text became part of.
CHANGES: dict[str, Callable[[Connection, Request], UUID]] = {
    "create": _create,
    "update": _update,
    "duplicate": _duplicate,
    "split": _split,
    "merge": _merge,
    "close": _close,
    "reopen": _reopen,
}
