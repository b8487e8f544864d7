"""What a worker does in one statement: complete what it holds, and claim what is next. Both, or neither."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine

from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import (
    JOB,
    Lease,
    LeaseLostError,
    NewWorkflow,
    claim,
    complete_and_claim,
    create_workflow,
    create_workflows,
    get,
    get_events,
    reclaim_expired,
    register,
    verify_history,
)

register("test.other_job", machine=JOB, queue="others")


def create(connection: Connection, count: int, **fields: object) -> list:
    new = [NewWorkflow(type="test.announced", payload=n, **fields) for n in range(count)]  # type: ignore[arg-type]
    return create_workflows(connection, new, actor="test")


def history(connection: Connection, workflow_id: object) -> list[tuple]:
    return [(e.to_status, e.attempt, e.actor, e.run_id) for e in get_events(connection, workflow_id)]  # type: ignore[arg-type]


def test_a_worker_drains_a_queue_with_it_alone(connection: Connection) -> None:
    ids = create(connection, 5)
    held, order = [], []
    while held or not order:
        results = [{"n": workflow.payload} for workflow in held]
        held = complete_and_claim(
            connection, held, "test.announced", worker="w", results=results, limit=2, run_id="run"
        )
        order.append([workflow.payload for workflow in held])
        assert all(workflow.status == "running" and workflow.attempt == 1 for workflow in held)
    assert order == [[0, 1], [2, 3], [4], []]
    assert [get(connection, id_).result for id_ in ids] == [{"n": n} for n in range(5)]
    assert history(connection, ids[2]) == [
        ("pending", 0, "test", None),
        ("running", 1, "w", "run"),
        ("completed", 1, "w", "run"),
    ]
    assert verify_history(connection) is None


def test_a_lost_lease_claims_nothing(
    connection: Connection, let_leases_run_out: Callable[[Connection], None]
) -> None:
    create(connection, 3)
    held = claim(connection, "test.announced", worker="late", limit=2)
    let_leases_run_out(connection)
    reclaim_expired(connection)
    # It is claimable again, with the attempt of the lost claim: neither completed nor claimed by its late report.
    with connection.begin_nested(), pytest.raises(LeaseLostError):
        complete_and_claim(connection, held[:1], "test.announced", worker="late", limit=9)
    [again] = claim(connection, "test.announced", worker="w", among=[held[1].id])
    with pytest.raises(LeaseLostError) as lost:
        complete_and_claim(connection, [again, held[0]], "test.announced", worker="w", limit=9)
    assert list(lost.value.ids) == [held[0].id]
    assert [get(connection, workflow.id).status for workflow in held] == ["pending", "running"]


def test_what_it_releases_can_be_claimed_by_the_same_call(connection: Connection) -> None:
    [first] = create(connection, 1)
    [second] = create(connection, 1, depends_on=[first])
    held = complete_and_claim(connection, [], "test.announced", worker="w", limit=9)
    assert [workflow.id for workflow in held] == [first]
    held = complete_and_claim(connection, held, "test.announced", worker="w", limit=9)
    assert [workflow.id for workflow in held] == [second]


def test_what_it_completes_is_of_the_type_that_it_claims(connection: Connection) -> None:
    create_workflow(connection, "test.other_job", actor="test")
    held = claim(connection, "test.other_job", worker="w")
    [pending] = create(connection, 1)
    with pytest.raises(UsageError, match=r"of the type test\.other_job, not test\.announced"):
        complete_and_claim(connection, held, "test.announced", worker="w")
    assert get(connection, held[0].id).status == "running"
    assert get(connection, pending).status == "pending"


def test_it_refuses_what_no_longer_exists_and_what_is_given_twice(engine: Engine) -> None:
    with engine.begin() as connection:
        create(connection, 2)
        [held] = complete_and_claim(connection, [], "test.announced", worker="w")
    with engine.connect() as connection:
        with pytest.raises(UsageError, match="twice"):
            complete_and_claim(connection, [held, held], "test.announced", worker="w")
        with pytest.raises(LeaseLostError):
            complete_and_claim(connection, [Lease(held.id, 7)], "test.announced", worker="w")
