"""History: whole, sealed, and any tampering found where it is."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from qflow_dagster.quantumflow import (
    cancel,
    checkpoint,
    claim,
    complete,
    create_workflow,
    get_events,
    verify_history,
)
from tests.quantumflow.conftest import switch_triggers


@pytest.fixture
def chain(connection: Connection) -> Connection:
    """Three workflows: one completed, one cancelled, one pending."""
    done = create_workflow(connection, "test.job", actor="test", priority=1)
    gone = create_workflow(connection, "test.job", actor="test")
    create_workflow(connection, "test.job", actor="test")
    complete(connection, claim(connection, "test.job", worker="w"))
    cancel(connection, [gone], actor="person", reason="why not")
    assert verify_history(connection) is None
    assert done < gone
    return connection


@pytest.fixture
def tamper(chain: Connection) -> Callable[[str], None]:
    """Execute a statement with the triggers switched off, as only the tables' owner can."""

    def execute(statement: str) -> None:
        switch_triggers(chain, "DISABLE")
        assert chain.execute(text(statement)).rowcount > 0
        switch_triggers(chain, "ENABLE")

    return execute


FIRST = "(SELECT min(workflow_id::text)::uuid FROM workflow_events)"


@pytest.mark.parametrize(
    ("change", "seq", "reason"),
    [
        ("UPDATE workflow_events SET actor = 'x' WHERE workflow_id = {first} AND seq = 2", 2, "altered"),
        (
            "UPDATE workflow_events SET at = at - interval '1 us' WHERE workflow_id = {first} AND seq = 3",
            3,
            "altered",
        ),
        ("UPDATE workflow_events SET data = '{{}}' WHERE workflow_id = {first} AND seq = 1", 1, "altered"),
        (
            "UPDATE workflow_events SET to_status = 'dead' WHERE workflow_id = {first} AND seq = 3",
            3,
            "altered",
        ),
        ("UPDATE workflow_events SET attempt = 7 WHERE workflow_id = {first} AND seq = 2", 2, "altered"),
        ("UPDATE workflow_events SET run_id = '' WHERE workflow_id = {first} AND seq = 2", 2, "altered"),
        ("DELETE FROM workflow_events WHERE workflow_id = {first} AND seq = 2", 3, "missing"),
        ("DELETE FROM workflow_events WHERE workflow_id = {first} AND seq = 3", 2, "later ones are missing"),
        ("DELETE FROM workflow_events WHERE workflow_id = {first}", 1, "history of the workflow is gone"),
        ("UPDATE workflow_events SET seq = 9 WHERE workflow_id = {first} AND seq = 1", 2, "missing"),
        ("UPDATE workflows SET status = 'dead' WHERE id = {first}", 3, "status of the workflow"),
        ("DELETE FROM workflows WHERE id = {first}", 3, "the workflow is gone, its history is not"),
    ],
)
def test_tampering_is_found_where_it_is(
    chain: Connection, tamper: Callable[[str], None], change: str, seq: int, reason: str
) -> None:
    first = chain.scalar(text(f"SELECT {FIRST}"))
    tamper(change.format(first=FIRST))
    broken = verify_history(chain)
    assert broken is not None
    assert (broken.workflow_id, broken.seq) == (first, seq)
    assert reason in broken.reason
    assert verify_history(chain, first) == broken


def test_every_column_of_an_event_is_covered(chain: Connection, tamper: Callable[[str], None]) -> None:
    """A column added to history must be hashed with the others."""
    columns = chain.execute(
        text(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_name = 'workflow_events' AND table_schema = 'public'"
        )
    ).all()
    other = {
        "uuid": "gen_random_uuid()",
        "integer": "99",
        "text": "'other'",
        "jsonb": "'1'",
        "bytea": "'other'",
        "timestamp with time zone": "now() + interval '1 h'",
    }
    for name, kind in columns:
        with chain.begin_nested() as savepoint:
            tamper(
                f"UPDATE workflow_events SET {name} = {other[kind]} WHERE workflow_id = {FIRST} AND seq = 3"
            )
            assert verify_history(chain) is not None, name
            savepoint.rollback()
    assert verify_history(chain) is None


def test_a_history_rewritten_from_end_to_end_is_found_by_the_seal(
    chain: Connection, tamper: Callable[[str], None]
) -> None:
    checkpoint(chain)
    tamper(f"UPDATE workflow_events SET actor = 'nobody' WHERE workflow_id = {FIRST}")
    for seq in (1, 2, 3):
        tamper(f"""
            UPDATE workflow_events e SET
                prev_hash = p.hash, hash = workflow_event_hash(p.hash, e.workflow_id, e.seq, e.from_status,
                    e.to_status, e.attempt, e.actor, e.data, e.run_id, e.at)
            FROM (SELECT coalesce((SELECT hash FROM workflow_events
                                   WHERE workflow_id = {FIRST} AND seq = {seq} - 1), '') AS hash) p
            WHERE workflow_id = {FIRST} AND seq = {seq}
        """)
    tamper(
        f"UPDATE workflows SET head_hash = (SELECT hash FROM workflow_events WHERE workflow_id = {FIRST} "
        f"AND seq = 3) WHERE id = {FIRST}"
    )
    broken = verify_history(chain)
    assert broken is not None
    assert "rewritten" in broken.reason


def test_a_workflow_that_vanished_with_its_history_is_found_by_the_seal(
    chain: Connection, tamper: Callable[[str], None]
) -> None:
    checkpoint(chain)
    first = chain.scalar(text(f"SELECT {FIRST}"))
    tamper(f"DELETE FROM workflows WHERE id = '{first}'")
    tamper(f"DELETE FROM workflow_events WHERE workflow_id = '{first}'")
    broken = verify_history(chain)
    assert broken is not None
    assert (broken.workflow_id, "no archive holds it" in broken.reason) == (first, True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE seals SET head_count = 9 WHERE id = 1", "added or removed"),
        ("DELETE FROM sealed_heads WHERE seal_id = 1 AND seq = 3", "added or removed"),
        ("DELETE FROM seals WHERE id = 1", "missing"),
    ],
)
def test_tampering_with_a_seal_is_found(
    chain: Connection, tamper: Callable[[str], None], change: str, reason: str
) -> None:
    checkpoint(chain)
    create_workflow(chain, "test.job", actor="test")
    checkpoint(chain)
    tamper(change)
    broken = verify_history(chain)
    assert broken is not None
    assert broken.workflow_id is None
    assert reason in broken.reason


def test_seals_cut_off_at_the_end_are_found_by_a_hash_kept_outside(
    chain: Connection, tamper: Callable[[str], None]
) -> None:
    kept = checkpoint(chain)
    create_workflow(chain, "test.job", actor="test")
    newest = checkpoint(chain)
    assert verify_history(chain, kept_hash=kept.hash) is None
    tamper(f"DELETE FROM sealed_heads WHERE seal_id = {newest.id}")
    tamper(f"DELETE FROM seals WHERE id = {newest.id}")
    assert verify_history(chain) is None
    assert verify_history(chain, kept_hash=newest.hash) is not None


def test_a_checkpoint_seals_only_what_moved(chain: Connection) -> None:
    assert checkpoint(chain).head_count == 3
    assert checkpoint(chain).head_count == 0
    create_workflow(chain, "test.job", actor="test")
    assert checkpoint(chain).head_count == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE workflow_events SET actor = 'x'",
        "DELETE FROM workflow_events",
        "TRUNCATE workflow_events",
        "DELETE FROM workflows",
        "TRUNCATE workflows CASCADE",
        "UPDATE seals SET at = now()",
        "DELETE FROM seals",
        "DELETE FROM sealed_heads",
    ],
)
def test_the_database_refuses_to_change_history(chain: Connection, statement: str) -> None:
    checkpoint(chain)
    with pytest.raises(DBAPIError, match="refused"), chain.begin_nested():
        chain.execute(text(statement))
    assert verify_history(chain) is None


def test_history_does_not_depend_on_the_settings_of_a_session(engine: Engine) -> None:
    """The hash of an event is the same whatever a client's time zone or number format."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL timezone = 'Asia/Kathmandu'"))
        connection.execute(text("SET LOCAL datestyle = 'German'"))
        connection.execute(text("SET LOCAL bytea_output = 'escape'"))
        id_ = create_workflow(connection, "test.job", actor='jürgen \\ "quote", (1,)')
        cancel(connection, [id_], actor="person", reason="a\nb")
    with engine.connect() as connection:
        assert verify_history(connection) is None
        assert [e.to_status for e in get_events(connection, id_)] == ["pending", "cancelled"]
