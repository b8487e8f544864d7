"""Moving workflows between states: claim, complete, fail and all others, each one statement.

Every operation is the same statement (`statements`) with other candidates: lock the rows, join them with
the edges their machines allow, update them, append the events with their hashes, write the
messages, notify. It changes all of the rows it was given or none, and runs in the caller's
transaction, which must be READ COMMITTED (SQLAlchemy's default).

Does not belong here: creating workflows and reading them (`workflows`).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Row, TextClause, Uuid, any_, literal, select, text

from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import arguments
from qflow_dagster.quantumflow.errors import IllegalTransitionError, LeaseLostError, WorkflowNotFoundError
from qflow_dagster.quantumflow.rows import Held, Json, Workflow, distinct, to_json
from qflow_dagster.quantumflow.state_machine import Verb, edges, registered_types, workflow_type
from qflow_dagster.quantumflow.statements import (
    CLAIM,
    CLAIM_AMONG,
    HEARTBEAT,
    MOVE_DUE,
    MOVE_LEASE_EXPIRED,
    MOVE_REPORTED,
    RELEASE_DEPENDENTS,
    SKIP_DEPENDENCY,
    SYSTEM_ACTOR,
)
from qflow_dagster.quantumflow.tables import workflows as workflows_table
from qflow_dagster.settings import settings


def claim(
    connection: Connection,
    type_name: str,
    *,
    worker: str,
    limit: int = 1,
    among: Sequence[UUID] | None = None,
    lease: float | None = None,
    run_id: str | None = None,
) -> list[Workflow]:
    """Take up to `limit` workflows for `worker`, for `lease` seconds (default: the setting).

    Highest priority first, then the longest available; only `among` these where given; none
    whose dependencies are not all completed, and none that another transaction is about to take.
    The claim counts as an attempt.

    Raises:
        UsageError: the type is unknown, or another argument is not what it must be.
    """
    arguments.check_text(type_name, "the type")
    arguments.check_text(worker, "the worker")
    arguments.check_integer(limit, "limit", 0)
    arguments.check_text(run_id, "run_id", optional=True)
    if among is not None:
        arguments.check_ids(among, "among")
    statement = CLAIM if among is None else CLAIM_AMONG
    chosen: dict[str, Any] = {} if among is None else {"among": list(among)}
    moved = _execute(
        connection,
        statement,
        "claim",
        only=type_name,
        type=type_name,
        limit=limit,
        **chosen,
        begun=1,
        worker=worker,
        actor=worker,
        run_id=run_id,
        lease=_lease(lease),
    )
    return [Workflow(*row[:-1]) for row in moved]


def heartbeat(connection: Connection, held: Sequence[Held], *, lease: float | None = None) -> None:
    """Renew the leases: each ends `lease` seconds from now (default: the setting).

    Raises:
        LeaseLostError: some are not held any more; then none was renewed.
    """
    arguments.check_held(held, "what is held")
    _refuse_twice([item.id for item in held])
    parameters = {
        "ids": [item.id for item in held],
        "attempts": [item.attempt for item in held],
        "lease": _lease(lease),
        "expected": len(held),
    }
    if len(connection.execute(HEARTBEAT, parameters).all()) != len(held):
        raise _refusal(connection, "heartbeat", held, None)


def complete(
    connection: Connection,
    held: Sequence[Held],
    results: Sequence[Json] | None = None,
    *,
    actor: str | None = None,
) -> None:
    """Finish the workflows with their `results`, and release what depends on them.

    Raises:
        LeaseLostError: some are not held any more; then none was completed.
    """
    arguments.check_held(held, "what is held")
    _move_given(connection, "complete", held, actor=actor, results=results)


def fail(
    connection: Connection,
    held: Sequence[Held],
    errors: Sequence[Json],
    *,
    retry: bool = True,
    actor: str | None = None,
) -> list[str]:
    """Record that these attempts failed; return the status of each workflow now.

    It waits for its next attempt (exponential backoff with jitter) or, when that was its
    last or `retry` is False, is dead: kept, reported to the queue `workflow_alerts`, and
    retryable by hand.

    Raises:
        LeaseLostError: some are not held any more; then nothing was recorded.
    """
    arguments.check_held(held, "what is held")
    data = [{"error": error} for error in arguments.sequence(errors, "errors")]
    verb = "fail" if retry else "abandon"
    return _move_given(connection, verb, held, actor=actor, errors=errors, data=data)


def transition(
    connection: Connection,
    workflows: Sequence[UUID | Held],
    to: str,
    *,
    actor: str,
    data: Json = None,
    results: Sequence[Json] | None = None,
    run_id: str | None = None,
) -> None:
    """Move the workflows to the state `to`; `data` goes into the history of each, `results` are kept with them.

    A workflow given as held is fenced by its attempt, one given by id is not.

    Raises:
        IllegalTransitionError: the machine of one does not allow it; then none was moved.
        LeaseLostError: one given as held is not held any more; then none was moved.
        WorkflowNotFoundError: one does not exist; then none was moved.
    """
    arguments.check_text(to, "the state")
    arguments.check_text(actor, "the actor")
    arguments.check_text(run_id, "run_id", optional=True)
    by_id = [item for item in arguments.sequence(workflows, "workflows") if not hasattr(item, "attempt")]
    arguments.check_ids(by_id, "workflows")
    arguments.check_held([item for item in workflows if hasattr(item, "attempt")], "workflows")
    _move_given(
        connection,
        "transition",
        workflows,
        to=to,
        actor=actor,
        data=[data] * len(workflows),
        results=results,
        run_id=run_id,
    )


def cancel(connection: Connection, ids: Sequence[UUID], *, actor: str, reason: str | None = None) -> None:
    """Cancel workflows; a worker that holds one finds out at its next report. Raises as `transition`.

    Their dependents stay pending: cancel them too, or `retry` them.
    """
    _move_by_hand(connection, "cancel", ids, actor, reason)


def pause(connection: Connection, ids: Sequence[UUID], *, actor: str, reason: str | None = None) -> None:
    """Take workflows out of the queue, away from their worker if one holds them. Raises as `transition`."""
    _move_by_hand(connection, "pause", ids, actor, reason)


def resume(connection: Connection, ids: Sequence[UUID], *, actor: str, reason: str | None = None) -> None:
    """Put paused workflows back into the queue. Raises as `transition`."""
    _move_by_hand(connection, "resume", ids, actor, reason)


def retry(connection: Connection, ids: Sequence[UUID], *, actor: str, reason: str | None = None) -> None:
    """Give ended or waiting workflows one more attempt, at once. Raises as `transition`.

    Attempts go on counting: one that was out of attempts is dead again after one more failure.
    """
    _move_by_hand(connection, "retry", ids, actor, reason)


def postpone(connection: Connection, type_name: str, key_prefix: str, seconds: float) -> int:
    """Let the claimable workflows of a type whose keys begin so wait for at least `seconds`; return their number."""
    return _reschedule(connection, type_name, key_prefix, seconds, "<")


def hasten(connection: Connection, type_name: str, key_prefix: str) -> int:
    """Make the claimable workflows of a type whose keys begin so available at once; return their number."""
    return _reschedule(connection, type_name, key_prefix, 0.0, ">")


def skip_dependency(connection: Connection, ids: Sequence[UUID]) -> None:
    """Let what depends on these workflows go on without them; none of them may have completed."""
    arguments.check_ids(ids, "the ids")
    connection.execute(SKIP_DEPENDENCY, {"ids": list(ids)})


def reclaim_expired(connection: Connection, *, limit: int = 1_000) -> list[UUID]:
    """Take up to `limit` workflows from workers whose lease ran out; return their ids.

    Each is claimable again, or dead if that was its last attempt, so that a workflow that
    kills its workers ends. Types that are not registered in this process are skipped.
    """
    arguments.check_integer(limit, "limit", 0)
    types = [declared.name for declared in registered_types()]
    moved = _execute(connection, MOVE_LEASE_EXPIRED, "reclaim", limit=limit, types=types, actor=SYSTEM_ACTOR)
    return [row.id for row in moved]


def expire_due(connection: Connection, *, limit: int = 1_000) -> list[UUID]:
    """Expire up to `limit` workflows whose term is over and whose machine allows it; return their ids."""
    arguments.check_integer(limit, "limit", 0)
    moved = _execute(connection, MOVE_DUE, "expire", limit=limit, actor=SYSTEM_ACTOR)
    return [row.id for row in moved]


def _move_by_hand(
    connection: Connection, verb: Verb, ids: Sequence[UUID], actor: str, reason: str | None
) -> None:
    arguments.check_ids(ids, "the ids")
    arguments.check_text(actor, "the actor")
    data = {"reason": reason} if reason else None
    _move_given(connection, verb, ids, actor=actor, data=[data] * len(ids))


def _lease(seconds: float | None) -> float:
    arguments.check_seconds(seconds, "lease", optional=True, positive=True)
    return float(settings().quantumflow.lease if seconds is None else seconds)


def _move_given(
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
    moves: list[dict[str, Any]] = [
        {"id": str(item)} if isinstance(item, UUID) else {"id": str(item.id), "attempt": item.attempt}
        for item in items
    ]
    for name, values in (("result", results), ("error", errors), ("data", data)):
        if values is None:
            continue
        if len(arguments.sequence(values, f"the values of {name}")) != len(items):
            raise UsageError(f"{verb}: {len(items)} workflows, but {len(values)} values of {name}")
        for row, value in zip(moves, values, strict=True):
            row[name] = value
    _refuse_twice([row["id"] for row in moves])
    if not moves:
        return []
    (done,) = _execute(
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
        raise _refusal(connection, verb, items, to)
    if done.releasing:
        connection.execute(RELEASE_DEPENDENTS, {"ids": done.releasing})
    return [done.statuses[row["id"]] for row in moves]


def _execute(
    connection: Connection,
    statement: TextClause,
    verb: Verb,
    *,
    to: str | None = None,
    only: str | None = None,
    **parameters: Any,
) -> Sequence[Row]:
    quantumflow = settings().quantumflow
    defaults = {
        "edges": edges(verb, to, only=only),
        "begun": 0,
        "expected": None,
        "actor": None,
        "worker": None,
        "run_id": None,
        "lease": None,
        "delay": quantumflow.retry_delay,
        "delay_limit": quantumflow.retry_delay_limit,
    }
    return connection.execute(statement, defaults | parameters).all()


def _refuse_twice(ids: Sequence[Any]) -> None:
    if len(distinct(ids)) != len(ids):
        raise UsageError("a workflow was given twice in one call")


def _refusal(
    connection: Connection, verb: str, items: Sequence[UUID | Held], to: str | None
) -> IllegalTransitionError | LeaseLostError | WorkflowNotFoundError:
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


def _reschedule(
    connection: Connection, type_name: str, key_prefix: str, seconds: float, comparison: str
) -> int:
    arguments.check_text(type_name, "the type")
    arguments.check_text(key_prefix, "the prefix of keys")
    arguments.check_seconds(seconds, "seconds")
    statement = text(f"""
        UPDATE workflows SET available_at = statement_timestamp() + make_interval(secs => :seconds)
        WHERE type = :type AND claimable AND starts_with(key, :prefix)
          AND available_at {comparison} statement_timestamp() + make_interval(secs => :seconds)
    """)
    given = {"type": type_name, "prefix": key_prefix, "seconds": seconds}
    return connection.execute(statement, given).rowcount
