"""Wrong arguments of every operation are refused as usage errors; the caller's transaction stays usable."""

import inspect
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from qflow_dagster import quantumflow as core
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.quantumflow import Lease, NewWorkflow, uuid7

ID = uuid7()
HELD = [Lease(ID, 1)]
MESSAGE = core.Message(
    queue="announcements",
    position=core.Position(1, 1),
    payload=1,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
# For each operation, arguments of the right kind; what they name need not exist.
RIGHT: dict[str, dict[str, Any]] = {
    "create_workflow": {"type_name": "test.job", "payload": {}, "actor": "t"},
    "create_workflows": {"new": [NewWorkflow(type="test.job")], "actor": "t"},
    "add_dependencies": {"pairs": [(ID, uuid7())]},
    "get": {"workflow_id": ID},
    "find": {"type_name": "test.job", "status": "pending", "key": "k", "parent_id": ID, "run_id": "r"}
    | {"before": ID, "limit": 1},
    "due": {"types": ["test.job"]},
    "newest_due": {"types": ["test.job"]},
    "resolve": {"prefix": "0"},
    "dependencies": {"workflow_id": ID},
    "claim": {"type_name": "test.job", "worker": "w", "limit": 1, "among": [ID], "lease": 1.0, "run_id": "r"},
    "heartbeat": {"held": HELD, "lease": 1.0},
    "complete": {"held": HELD, "results": [1], "actor": "t"},
    "complete_and_claim": {"held": HELD, "type_name": "test.job", "worker": "w", "results": [1]}
    | {"limit": 1, "lease": 1.0, "run_id": "r"},
    "fail": {"held": HELD, "errors": [1], "actor": "t"},
    "transition": {
        "workflows": [ID],
        "to": "cancelled",
        "actor": "t",
        "data": 1,
        "results": [1],
        "run_id": "r",
    },
    "cancel": {"ids": [ID], "actor": "t", "reason": "r"},
    "pause": {"ids": [ID], "actor": "t", "reason": "r"},
    "resume": {"ids": [ID], "actor": "t", "reason": "r"},
    "retry": {"ids": [ID], "actor": "t", "reason": "r"},
    "skip_dependency": {"ids": [ID]},
    "postpone": {"type_name": "test.job", "key_prefix": "k", "seconds": 1.0},
    "hasten": {"type_name": "test.job", "key_prefix": "k"},
    "reclaim_expired": {"limit": 1},
    "expire_due": {"limit": 1},
    "send_with_notify": {"queue": "announcements", "payloads": [1]},
    "receive": {"queue": "announcements", "consumer": "c", "limit": 1, "start": "next"},
    "subscribe": {"queue": "announcements", "consumer": "c", "start": "next"},
    "unsubscribe": {"queue": "announcements", "consumer": "c"},
    "acknowledge": {"consumer": "c", "message": MESSAGE},
    "get_events": {"workflow_id": ID},
    "verify_history": {"workflow_id": ID, "kept_hash": b"h"},
    "prune": {"older_than": 1.0, "limit": 1},
    "prune_messages": {"older_than": 1.0},
}
WITHOUT_ARGUMENTS = {"checkpoint", "count_unfinished", "damaged_archives"}
WRONG: list[Any] = [
    *(object(), b"bytes", True, {}, {1: 2}, [object()], [None], [[1, 2]], [(1,)]),
    *("", "a\0b", "a\udc00b", "x" * 3_000, "é" * 1_500),
    *(-1, 2**31, 2**70, 10**5_000, 1.5, -0.5, 1e12, math.nan, math.inf),
    *([Lease(ID, 2**31)], [Lease(ID, -1)], [Lease("x", 1)], [Lease(ID, 1), Lease(ID, 1)], [ID, ID]),  # type: ignore[arg-type]
]


def attempt(connection: Connection, name: str, values: dict[str, Any]) -> Exception | None:
    """Call an operation and undo it; return how it was refused."""
    savepoint = connection.begin_nested()
    try:
        getattr(core, name)(connection, **values)
    except Exception as error:
        return error
    finally:
        savepoint.rollback()
    return None


@pytest.mark.parametrize("name", RIGHT)
def test_a_wrong_argument_is_a_usage_error(connection: Connection, name: str) -> None:
    right = RIGHT[name]
    assert attempt(connection, name, right) is None or isinstance(
        attempt(connection, name, right), QflowError
    )
    for argument in right:
        for value in WRONG:
            error = attempt(connection, name, right | {argument: value})
            assert error is None or isinstance(error, QflowError), (argument, type(error))
    assert connection.scalar(text("SELECT 1")) == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "priority",
            2**40,
            "the priority of a workflow must be an integer from -2,147,483,647 to 2,147,483,647",
        ),
        ("priority", 1.5, "the priority of a workflow must be an integer"),
        ("max_attempts", 0, "max_attempts of a workflow must be an integer from 1 to"),
        ("max_attempts", -1, "not -1"),
        ("max_attempts", 2**31, "not 2147483648"),
        ("delay", 1e12, "the delay of a workflow must be seconds from 0, up to 10,000,000,000"),
        ("delay", math.nan, "not nan"),
        ("ttl", -1.0, "the ttl of a workflow must be seconds from 0"),
        ("key", "", "the key of a workflow must be a text that is not empty, not ''"),
        ("key", "k" * 9_000, "the key of a workflow must be at most 2,000 bytes long"),
        ("run_id", 7, "the run_id of a workflow must be a text that is not empty, not 7"),
        ("parent_id", "1", "the parent_id of a workflow must be the id of a workflow (a UUID), not '1'"),
        ("depends_on", "abc", "depends_on of a workflow must be a sequence, not 'abc'"),
        ("payload", {1, 2}, "cannot be stored as JSON"),
        ("payload", "x" * 200_000_001, "cannot be stored: 200,000,"),
    ],
)
def test_a_refusal_names_the_field_and_its_rule(
    connection: Connection, field: str, value: object, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        core.create_workflows(connection, [NewWorkflow(**{"type": "test.job", field: value})], actor="t")
    assert message in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: core.create_workflow(c, "test.job", actor=""),
            "the actor must be a text that is not empty",
        ),
        (lambda c: core.claim(c, "test.job", worker=""), "the worker must be a text that is not empty"),
        (lambda c: core.claim(c, "test.job", worker="w", limit=-1), "limit must be an integer from 0"),
        (lambda c: core.claim(c, "test.job", worker="w", lease=0), "lease must be seconds above 0"),
        (lambda c: core.claim(c, "test.job", worker="w", lease=-5), "lease must be seconds above 0"),
        (lambda c: core.heartbeat(c, HELD, lease=math.inf), "lease must be seconds above 0"),
        (lambda c: core.cancel(c, str(ID), actor="t"), "the ids must be a sequence"),
    ],
)
def test_what_was_silently_replaced_is_refused(
    connection: Connection, call: Callable[[Connection], object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        call(connection)


def test_no_operation_is_left_out(engine: Engine) -> None:
    operations = {
        name
        for name in core.__all__
        if inspect.isroutine(function := getattr(core, name))
        and next(iter(inspect.signature(function).parameters), None) == "connection"
    }
    assert operations == set(RIGHT) | WITHOUT_ARGUMENTS
