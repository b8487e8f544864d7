"""Every operation of the core is part of the caller's transaction: rolled back, it never happened."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from qflow_dagster import quantumflow as core
from qflow_dagster.quantumflow import NewWorkflow

OPERATIONS: dict[str, Callable[[Connection, dict], object]] = {
    "create_workflow": lambda c, ids: core.create_workflow(c, "test.announced", actor="t"),
    "create_workflows": lambda c, ids: core.create_workflows(
        c,
        [NewWorkflow(type="test.job", key="k"), NewWorkflow(type="test.job", depends_on=[ids["free"]])],
        actor="t",
    ),
    "add_dependencies": lambda c, ids: core.add_dependencies(c, [(ids["free"], ids["paused"])]),
    "claim": lambda c, ids: core.claim(c, "test.job", worker="w", limit=9),
    "complete_and_claim": lambda c, ids: (
        core.complete_and_claim(c, [ids["held"]], "test.job", worker="w", results=["done"], limit=9),
        core.create_workflow(c, "test.in_turns", actor="t", fairness_key="k"),
        core.claim(c, "test.in_turns", worker="w"),
    ),
    "hasten": lambda c, ids: (keyed(c), core.hasten(c, "test.job", "k:")),
    "postpone": lambda c, ids: (keyed(c), core.postpone(c, "test.job", "k:", 60.0)),
    "heartbeat": lambda c, ids: core.heartbeat(c, [ids["held"]], lease=9999),
    "complete": lambda c, ids: core.complete(c, [ids["held"]], ["done"]),
    "fail": lambda c, ids: core.fail(c, [ids["held"]], ["no"]),
    "transition": lambda c, ids: core.transition(c, [ids["free"]], "cancelled", actor="t"),
    "cancel": lambda c, ids: core.cancel(c, [ids["free"]], actor="t"),
    "pause": lambda c, ids: core.pause(c, [ids["free"]], actor="t"),
    "resume": lambda c, ids: core.resume(c, [ids["paused"]], actor="t"),
    "retry": lambda c, ids: core.retry(c, [ids["dead"]], actor="t"),
    "skip_dependency": lambda c, ids: core.skip_dependency(c, [ids["paused"]]),
    "reclaim_expired": lambda c, ids: core.reclaim_expired(c),
    "expire_due": lambda c, ids: core.expire_due(c),
    "send_with_notify": lambda c, ids: core.send_with_notify(c, "announcements", [1]),
    "subscribe": lambda c, ids: core.subscribe(c, "announcements", "another"),
    "unsubscribe": lambda c, ids: core.unsubscribe(c, "announcements", "reader"),
    "receive": lambda c, ids: core.receive(c, "announcements", "another"),
    "acknowledge": lambda c, ids: core.acknowledge(c, "reader", ids["message"]),
    "checkpoint": lambda c, ids: core.checkpoint(c),
    "prune": lambda c, ids: core.prune(c, folder=ids["folder"], older_than=0),
    "prune_messages": lambda c, ids: core.prune_messages(c, older_than=0),
}


def keyed(c: Connection) -> None:
    core.create_workflow(c, "test.job", actor="t", key="k:1", delay=30.0)


@pytest.fixture
def prepared(engine: Engine, tmp_path: Path) -> dict:
    """One workflow in each state that an operation needs."""
    with engine.begin() as c:
        held = [
            core.create_workflow(c, "test.job", actor="t") and core.claim(c, "test.job", worker="w")[0]
            for _ in range(3)
        ]
        core.fail(c, [held[1]], ["x"], retry=False)
        free, paused, due = (core.create_workflow(c, "test.job", actor="t", ttl=ttl) for ttl in (99, 99, 0))
        core.pause(c, [paused], actor="t")
        c.execute(text("UPDATE workflows SET lease_expires_at = now() WHERE id = :id"), {"id": held[2].id})
        core.send_with_notify(c, "announcements", ["hello"])
        core.create_workflow(c, "test.job", actor="t", depends_on=[paused])
    with engine.begin() as c:
        core.subscribe(c, "announcements", "reader")
        position = core.Position(
            *c.execute(text("SELECT xact, id FROM messages WHERE queue = 'announcements'")).tuples().one()
        )
        at = c.execute(text("SELECT now()")).scalar_one()
    message = core.Message(queue="announcements", position=position, payload="hello", created_at=at)
    return {
        "held": held[0],
        "dead": held[1].id,
        "free": free,
        "paused": paused,
        "due": due,
        "message": message,
        "folder": core.archives.ArchiveFolder(str(tmp_path)),
    }


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_rolls_back_whole(
    engine: Engine, prepared: dict, stored: Callable[[Connection], dict], name: str
) -> None:
    with engine.connect() as connection:
        before = stored(connection)
        OPERATIONS[name](connection, prepared)
        # `prune_messages` alone may find nothing: nobody has acknowledged the message.
        assert stored(connection) != before or name == "prune_messages"
        connection.rollback()
        assert stored(connection) == before


def test_no_operation_is_left_out() -> None:
    reading = {
        "count_unfinished",
        "damaged_archives",
        "dependencies",
        "due",
        "find",
        "get",
        "get_events",
        "listen",
        "newest_due",
        "register",
        "registered_types",
        "resolve",
        "status_check",
        "uuid7",
        "uuid7s",
        "verify_history",
        "workflow_type",
    }
    functions = {name for name in core.__all__ if inspect.isroutine(getattr(core, name))}
    assert functions - reading == set(OPERATIONS)
