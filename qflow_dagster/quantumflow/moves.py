"""Shared by all operations that move workflows: the parameters of their statement, and why it moved nothing.

Does not belong here: the operations (`transitions`), their statements (`statements`).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Row, TextClause, Uuid, any_, literal, select

from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import arguments
from qflow_dagster.quantumflow.errors import IllegalTransitionError, LeaseLostError, WorkflowNotFoundError
from qflow_dagster.quantumflow.rows import Held, Json, distinct, to_json
from qflow_dagster.quantumflow.state_machine import Verb, edges, workflow_type
from qflow_dagster.quantumflow.statements import MOVE_REPORTED, RELEASE_DEPENDENTS
from qflow_dagster.quantumflow.tables import workflows as workflows_table
from qflow_dagster.settings import settings


def move_given(
    connection: Connection,
    verb: Verb,
    items: Sequence[UUID | Held],
    *,
    to: str | None = None,
    actor: str | None,
    results: Sequence[Json] | None = None,
    errors: Sequence[Json] | None = None,
    data: Sequence[Json] | None = None,
    run_id: str | None = None,
) -> list[str]:
    """Move exactly these workflows, or none; return their statuses in the order given."""
    arguments.check_text(actor, "the actor", optional=True)
    moves = reported(verb, items, result=results, error=errors, data=data)
    if not moves:
        return []
    (done,) = execute(
        connection,
        MOVE_REPORTED,
        verb,
        to=to,
        given=to_json(moves, f"{verb}: what was handed in"),
        expected=len(moves),
        actor=actor,
        run_id=run_id,
    )
    if done.moved != len(moves):
        raise refusal(connection, verb, items, to=to)
    if done.releasing:
        connection.execute(RELEASE_DEPENDENTS, {"ids": done.releasing})
    return [done.statuses[row["id"]] for row in moves]


def reported(
    verb: str, items: Sequence[UUID | Held], **columns: Sequence[Json] | None
) -> list[dict[str, Any]]:
    """Return what a statement is given of workflows and of what is reported on each."""
    moves: list[dict[str, Any]] = [
        {"id": str(item)} if isinstance(item, UUID) else {"id": str(item.id), "attempt": item.attempt}
        for item in items
    ]
    for name, values in columns.items():
        if values is None:
            continue
        if len(arguments.sequence(values, f"the values of {name}")) != len(items):
            raise UsageError(f"{verb}: {len(items)} workflows, but {len(values)} values of {name}")
        for row, value in zip(moves, values, strict=True):
            row[name] = value
    refuse_twice([row["id"] for row in moves])
    return moves


def execute(
    connection: Connection,
    statement: TextClause,
    *verbs: Verb,
    to: str | None = None,
    only: str | None = None,
    **parameters: Any,
) -> Sequence[Row]:
    """Return the rows of a statement that carries out `verbs`, for all registered types or for `only` this one."""
    quantumflow = settings().quantumflow
    defaults = {
        "edges": edges(*verbs, to=to, only=only),
        "expected": None,
        "actor": None,
        "worker": None,
        "run_id": None,
        "lease": None,
        "delay": quantumflow.retry_delay,
        "delay_limit": quantumflow.retry_delay_limit,
    }
    return connection.execute(statement, defaults | parameters).all()


def refuse_twice(ids: Sequence[Any]) -> None:
    """Refuse ids of which two are the same."""
    if len(distinct(ids)) != len(ids):
        raise UsageError("a workflow was given twice in one call")


def refusal(
    connection: Connection,
    verb: str,
    items: Sequence[UUID | Held],
    *,
    to: str | None = None,
    only: str | None = None,
) -> IllegalTransitionError | LeaseLostError | UsageError | WorkflowNotFoundError:
    """Return why the statement moved nothing. Its locks are still held, so what is read here is what it saw."""
    ids = [item if isinstance(item, UUID) else item.id for item in items]
    columns = workflows_table.c
    query = select(columns.id, columns.type, columns.status, columns.attempt, columns.lease_expires_at)
    rows = connection.execute(query.where(columns.id == any_(literal(ids, ARRAY(Uuid)))))
    by_id = {row.id: row for row in rows}
    lost = [
        item.id
        for item in items
        if not isinstance(item, UUID)
        and (
            item.id not in by_id
            or by_id[item.id].attempt != item.attempt
            or by_id[item.id].lease_expires_at is None
        )
    ]
    if lost:
        return LeaseLostError(lost)
    if missing := [id_ for id_ in ids if id_ not in by_id]:
        return WorkflowNotFoundError(f"there is no workflow {missing[0]}; it may have been pruned")
    for id_ in ids:
        row = by_id[id_]
        if only is not None and row.type != only:
            return UsageError(f"{verb}: workflow {id_} is of the type {row.type}, not {only}")
        machine = workflow_type(row.type).machine
        if row.status not in {start for start, *_ in machine.steps(verb, to)}:  # type: ignore[arg-type]
            description = (
                f"moved to {to!r}" if to else {"retry": "retried"}.get(verb, f"{verb}d".replace("ld", "lled"))
            )
            follow = ", ".join(sorted(machine.transitions[row.status])) or "nothing"
            return IllegalTransitionError(
                f"workflow {id_} ({row.type}) is {row.status} and cannot be {description}; "
                f"the machine {machine.name!r} allows: {follow}"
            )
    raise AssertionError("the statement refused what the machines allow")
