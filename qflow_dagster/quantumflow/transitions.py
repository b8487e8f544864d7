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

from sqlalchemy import Connection, text

from qflow_dagster.database.locks import lock_name
from qflow_dagster.quantumflow import arguments
from qflow_dagster.quantumflow.moves import execute, move_given, refusal, refuse_twice, reported
from qflow_dagster.quantumflow.rows import Held, Json, Workflow, to_json
from qflow_dagster.quantumflow.state_machine import Verb, registered_types, workflow_type
from qflow_dagster.quantumflow.statements import (
    CLAIM,
    CLAIM_AMONG,
    CLAIM_IN_TURNS,
    COMPLETE_AND_CLAIM,
    GIVE_KEY,
    HEARTBEAT,
    MOVE_DUE,
    MOVE_LEASE_EXPIRED,
    RELEASE_DEPENDENTS,
    SKIP_DEPENDENCY,
    SYSTEM_ACTOR,
    TAKE_TURNS,
)
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

    Highest priority first, then the longest available; where the type has a `Fairness`, of each
    key in turn. Only `among` these where given; none whose dependencies are not all completed,
    and none that another transaction is about to take. The claim counts as an attempt.

    Raises:
        UsageError: the type is unknown, or another argument is not what it must be.
    """
    arguments.check_text(type_name, "the type")
    arguments.check_text(worker, "the worker")
    arguments.check_integer(limit, "limit", 0)
    arguments.check_text(run_id, "run_id", optional=True)
    if among is not None:
        arguments.check_ids(among, "among")
    fairness = workflow_type(type_name).fairness
    statement = CLAIM if among is None else CLAIM_AMONG
    chosen: dict[str, Any] = {} if among is None else {"among": list(among)}
    if fairness is not None:
        # In a statement before, so that the next one sees what the other claims have taken.
        lock_name(connection, f"claims of {type_name}")
        connection.execute(GIVE_KEY, {"type": type_name, "rate": fairness.rate})
        statement = CLAIM_IN_TURNS
        chosen = {"among": None, "rate": fairness.rate, "seconds": fairness.seconds, **chosen}
    moved = execute(
        connection,
        statement,
        "claim",
        only=type_name,
        type=type_name,
        limit=limit,
        **chosen,
        worker=worker,
        actor=worker,
        run_id=run_id,
        lease=_lease(lease),
    )
    if fairness is not None and moved:
        limits = {"type": type_name, "rate": fairness.rate, "seconds": fairness.seconds}
        connection.execute(TAKE_TURNS, {**limits, "ids": [row.id for row in moved]})
    return [Workflow(*row[:-1]) for row in moved]


def complete_and_claim(
    connection: Connection,
    held: Sequence[Held],
    type_name: str,
    *,
    worker: str,
    results: Sequence[Json] | None = None,
    limit: int = 1,
    lease: float | None = None,
    run_id: str | None = None,
) -> list[Workflow]:
    """Finish workflows of a type as `complete` does, and take the next as `claim` does, in one statement.

    In several where others depend on them, or the type has a `Fairness`.

    Raises:
        LeaseLostError: some are not held any more; then none was completed, and none claimed.
        UsageError: as `claim`; or one of `held` is of another type.
    """
    arguments.check_held(held, "what is held")
    arguments.check_text(type_name, "the type")
    arguments.check_text(worker, "the worker")
    arguments.check_integer(limit, "limit", 0)
    arguments.check_text(run_id, "run_id", optional=True)
    if workflow_type(type_name).fairness is not None:
        complete(connection, held, results)
        return claim(connection, type_name, worker=worker, limit=limit, lease=lease, run_id=run_id)
    moves = reported("complete", held, result=results)
    rows = execute(
        connection,
        COMPLETE_AND_CLAIM,
        "complete",
        "claim",
        only=type_name,
        given=to_json(moves, "complete: what was handed in"),
        expected=len(moves),
        type=type_name,
        limit=limit,
        worker=worker,
        run_id=run_id,
        lease=_lease(lease),
    )
    moved, releasing = rows[0][:2]
    if moved != len(moves):
        raise refusal(connection, "complete", held, only=type_name)
    claimed = [Workflow(*row[2:-1]) for row in rows if row.id is not None]
    if releasing:
        connection.execute(RELEASE_DEPENDENTS, {"ids": releasing})
        if len(claimed) < limit:
            # What was released was not there to be claimed yet.
            claimed += claim(
                connection,
                type_name,
                worker=worker,
                limit=limit - len(claimed),
                lease=lease,
                run_id=run_id,
            )
    return claimed


def heartbeat(connection: Connection, held: Sequence[Held], *, lease: float | None = None) -> None:
    """Renew the leases: each ends `lease` seconds from now (default: the setting).

    Raises:
        LeaseLostError: some are not held any more; then none was renewed.
    """
    arguments.check_held(held, "what is held")
    refuse_twice([item.id for item in held])
    parameters = {
        "ids": [item.id for item in held],
        "attempts": [item.attempt for item in held],
        "lease": _lease(lease),
        "expected": len(held),
    }
    if len(connection.execute(HEARTBEAT, parameters).all()) != len(held):
        raise refusal(connection, "heartbeat", held)


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
    move_given(connection, "complete", held, actor=actor, results=results)


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
    return move_given(connection, verb, held, actor=actor, errors=errors, data=data)


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
    move_given(
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
    moved = execute(connection, MOVE_LEASE_EXPIRED, "reclaim", limit=limit, types=types, actor=SYSTEM_ACTOR)
    return [row.id for row in moved]


def expire_due(connection: Connection, *, limit: int = 1_000) -> list[UUID]:
    """Expire up to `limit` workflows whose term is over and whose machine allows it; return their ids."""
    arguments.check_integer(limit, "limit", 0)
    moved = execute(connection, MOVE_DUE, "expire", limit=limit, actor=SYSTEM_ACTOR)
    return [row.id for row in moved]


def _move_by_hand(
    connection: Connection, verb: Verb, ids: Sequence[UUID], actor: str, reason: str | None
) -> None:
    arguments.check_ids(ids, "the ids")
    arguments.check_text(actor, "the actor")
    data = {"reason": reason} if reason else None
    move_given(connection, verb, ids, actor=actor, data=[data] * len(ids))


def _lease(seconds: float | None) -> float:
    arguments.check_seconds(seconds, "lease", optional=True, positive=True)
    return float(settings().quantumflow.lease if seconds is None else seconds)


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
