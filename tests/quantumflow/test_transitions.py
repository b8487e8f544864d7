"""Workers, leases, failures and what people do by hand."""

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import (
    IllegalTransitionError,
    Lease,
    LeaseLostError,
    NewWorkflow,
    WorkflowNotFoundError,
    cancel,
    claim,
    complete,
    create_workflow,
    create_workflows,
    expire_due,
    fail,
    find,
    get,
    get_events,
    heartbeat,
    pause,
    reclaim_expired,
    resume,
    retry,
    transition,
    uuid7,
    verify_history,
)
from qflow_dagster.settings import settings

Clock = Callable[[Connection], None]


def create(connection: Connection, count: int = 1, **fields: object) -> list:
    new = [NewWorkflow(type="test.job", **fields) for _ in range(count)]  # type: ignore[arg-type]
    return create_workflows(connection, new, actor="test")


def statuses(connection: Connection, ids: Sequence) -> list[str]:
    return [get(connection, id_).status for id_ in ids]


def test_claims_take_the_highest_priority_then_the_longest_available(connection: Connection) -> None:
    old, older_low, high = create(connection), create(connection, priority=-1), create(connection, priority=5)
    order = [*high, *old, *older_low]
    assert [w.id for w in claim(connection, "test.job", worker="w", limit=10)] == order


def test_a_claim_names_its_worker_counts_the_attempt_and_starts_the_lease(connection: Connection) -> None:
    create(connection)
    (held,) = claim(connection, "test.job", worker="me", lease=90, run_id="run")
    assert (held.status, held.lease_owner, held.attempt, held.run_id) == ("running", "me", 1, "run")
    assert held.lease_expires_at is not None
    assert (held.lease_expires_at - held.updated_at).total_seconds() == 90


def test_a_claim_takes_only_its_type_and_only_what_is_available(connection: Connection) -> None:
    create_workflow(connection, "test.announced", actor="test")
    create_workflow(connection, "test.job", actor="test", delay=60)
    create_workflow(connection, "test.job", actor="test", ttl=0)
    assert claim(connection, "test.job", worker="w", limit=10) == []


def test_two_open_transactions_never_claim_the_same(engine: Engine) -> None:
    with engine.begin() as connection:
        ids = create(connection, 4)
    with engine.connect() as one, engine.connect() as two:
        mine = claim(one, "test.job", worker="one", limit=3)
        yours = claim(two, "test.job", worker="two", limit=3)
        assert sorted(w.id for w in mine + yours) == ids
        one.rollback()
        assert len(claim(two, "test.job", worker="two", limit=9)) == 3


def test_complete_stores_results_in_the_order_given_and_ends_the_lease(connection: Connection) -> None:
    create(connection, 3)
    held = claim(connection, "test.job", worker="w", limit=3)
    complete(connection, held, [{"n": n} for n in range(3)])
    done = [get(connection, w.id) for w in held]
    assert [w.result for w in done] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert {(w.status, w.lease_owner, w.lease_expires_at) for w in done} == {("completed", None, None)}
    assert all(w.finished_at for w in done)


def test_a_failure_is_tried_again_after_a_growing_delay_and_then_dead(
    connection: Connection, let_delays_pass: Clock
) -> None:
    (id_,) = create(connection, max_attempts=3)
    base = settings().quantumflow.retry_delay
    for attempt in (1, 2):
        held = claim(connection, "test.job", worker="w")
        assert fail(connection, held, [{"message": f"attempt {attempt}"}]) == ["failed"]
        waiting = get(connection, id_)
        delay = (waiting.available_at - waiting.updated_at).total_seconds()
        assert base * 2 ** (attempt - 1) / 2 <= delay <= base * 2 ** (attempt - 1)
        assert claim(connection, "test.job", worker="w") == []
        let_delays_pass(connection)
    assert fail(connection, claim(connection, "test.job", worker="w"), ["third"]) == ["dead"]
    dead = get(connection, id_)
    assert (dead.attempt, dead.error) == (3, "third")
    assert dead.finished_at
    assert claim(connection, "test.job", worker="w") == []
    errors = [event.data["error"] for event in get_events(connection, id_) if event.data]
    assert errors == [{"message": "attempt 1"}, {"message": "attempt 2"}, "third"]


def test_delays_are_spread_and_never_exceed_their_limit(connection: Connection) -> None:
    ids = create(connection, 50, max_attempts=100)
    claim(connection, "test.job", worker="w", limit=50)
    connection.execute(text("UPDATE workflows SET attempt = 99"))
    fail(connection, [Lease(id_, 99) for id_ in ids], ["x"] * 50)
    delays = [(w.available_at - w.updated_at).total_seconds() for w in find(connection)]
    limit = settings().quantumflow.retry_delay_limit
    assert limit / 2 <= min(delays) < max(delays) <= limit
    assert len(set(delays)) > 40


def test_a_failure_not_worth_retrying_is_dead_at_once_and_told_to_the_alert_queue(
    connection: Connection,
) -> None:
    (id_,) = create(connection)
    assert fail(connection, claim(connection, "test.job", worker="w"), ["no"], retry=False) == ["dead"]
    told = connection.execute(text("SELECT queue, payload FROM messages")).all()
    assert [(queue, payload["workflow_id"], payload["to"]) for queue, payload in told] == [
        ("workflow_alerts", str(id_), "dead")
    ]


def test_success_after_a_failure_leaves_no_error(connection: Connection, let_delays_pass: Clock) -> None:
    (id_,) = create(connection)
    fail(connection, claim(connection, "test.job", worker="w"), ["once"])
    let_delays_pass(connection)
    complete(connection, claim(connection, "test.job", worker="w"))
    assert get(connection, id_).error is None


def test_a_lease_that_ran_out_is_claimed_again_and_the_late_worker_is_refused(
    connection: Connection, let_leases_run_out: Clock
) -> None:
    (id_,) = create(connection)
    late = claim(connection, "test.job", worker="late")
    let_leases_run_out(connection)
    assert reclaim_expired(connection) == [id_]
    prompt = claim(connection, "test.job", worker="prompt")
    for report in (
        lambda: complete(connection, late),
        lambda: fail(connection, late, ["x"]),
        lambda: heartbeat(connection, late),
        lambda: transition(connection, late, "completed", actor="late"),
    ):
        with pytest.raises(LeaseLostError) as lost:
            report()
        assert lost.value.ids == (id_,)
    complete(connection, prompt)
    assert [event.actor for event in get_events(connection, id_)] == [
        "test",
        "late",
        "qflow",
        "prompt",
        "prompt",
    ]


def test_a_workflow_that_kills_its_workers_dies_after_its_attempts(
    connection: Connection, let_leases_run_out: Clock
) -> None:
    (id_,) = create(connection, max_attempts=2)
    for expected in ("pending", "dead"):
        assert len(claim(connection, "test.job", worker="victim")) == 1
        let_leases_run_out(connection)
        assert reclaim_expired(connection) == [id_]
        assert get(connection, id_).status == expected
    assert claim(connection, "test.job", worker="w") == []
    assert get(connection, id_).error["kind"] == "lease_expired"


def test_a_heartbeat_keeps_the_lease(connection: Connection, let_leases_run_out: Clock) -> None:
    create(connection, 2)
    held = claim(connection, "test.job", worker="w", limit=2)
    let_leases_run_out(connection)
    heartbeat(connection, held, lease=600)
    assert reclaim_expired(connection) == []


@pytest.mark.parametrize("report", ["complete", "fail", "heartbeat"])
def test_a_report_on_several_of_which_one_is_lost_changes_none(
    connection: Connection, report: str, stored: Callable[[Connection], dict]
) -> None:
    create(connection, 3)
    held = claim(connection, "test.job", worker="w", limit=3)
    cancel(connection, [held[1].id], actor="person")
    before = stored(connection)
    with pytest.raises(LeaseLostError) as lost:
        {
            "complete": lambda: complete(connection, held),
            "fail": lambda: fail(connection, held, ["x"] * 3),
            "heartbeat": lambda: heartbeat(connection, held),
        }[report]()
    assert lost.value.ids == (held[1].id,)
    assert stored(connection) == before
    complete(connection, [w for w in held if w.id not in lost.value.ids])


def test_a_worker_elsewhere_reports_with_the_lease_it_was_given(connection: Connection) -> None:
    (id_,) = create(connection)
    (held,) = claim(connection, "test.job", worker="w")
    complete(connection, [Lease(held.id, held.attempt)], ["done"])
    assert get(connection, id_).result == "done"


def test_pausing_takes_it_out_of_the_queue_and_resuming_puts_it_back(connection: Connection) -> None:
    (id_,) = create(connection)
    pause(connection, [id_], actor="person", reason="wait")
    assert claim(connection, "test.job", worker="w") == []
    resume(connection, [id_], actor="person")
    assert [w.id for w in claim(connection, "test.job", worker="w")] == [id_]
    assert [e.data for e in get_events(connection, id_)] == [None, {"reason": "wait"}, None, None]


def test_pausing_what_runs_takes_it_from_its_worker_and_starts_no_dependent(connection: Connection) -> None:
    (first,) = create(connection)
    create(connection, depends_on=[first])
    held = claim(connection, "test.job", worker="w")
    pause(connection, [first], actor="person")
    with pytest.raises(LeaseLostError):
        complete(connection, held)
    assert claim(connection, "test.job", worker="w", limit=9) == []


def test_retrying_gives_a_dead_workflow_one_more_attempt(connection: Connection) -> None:
    (id_,) = create(connection, max_attempts=1)
    fail(connection, claim(connection, "test.job", worker="w"), ["x"])
    retry(connection, [id_], actor="person")
    (held,) = claim(connection, "test.job", worker="w")
    assert held.attempt == 2
    assert fail(connection, [held], ["y"]) == ["dead"]


def test_retrying_a_failed_workflow_does_not_wait_for_its_delay(connection: Connection) -> None:
    (id_,) = create(connection)
    fail(connection, claim(connection, "test.job", worker="w"), ["x"])
    retry(connection, [id_], actor="person")
    assert [w.id for w in claim(connection, "test.job", worker="w")] == [id_]


def test_what_is_past_its_term_expires_unless_a_worker_has_it(connection: Connection) -> None:
    ids = create(connection, 3, ttl=3600)
    held = claim(connection, "test.job", worker="w")
    fail(connection, claim(connection, "test.job", worker="w"), ["x"])
    assert expire_due(connection) == []
    connection.execute(text("UPDATE workflows SET expires_at = statement_timestamp()"))
    assert sorted(expire_due(connection)) == ids[1:]
    complete(connection, held)
    assert statuses(connection, ids) == ["completed", "expired", "expired"]


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        (lambda c, id_: retry(c, [id_], actor="p"), "is completed and cannot be retried.*allows: nothing"),
        (lambda c, id_: cancel(c, [id_], actor="p"), "is completed and cannot be cancelled"),
        (lambda c, id_: pause(c, [id_], actor="p"), "is completed and cannot be paused"),
        (lambda c, id_: resume(c, [id_], actor="p"), "is completed and cannot be resumed"),
        (lambda c, id_: transition(c, [id_], "running", actor="p"), "cannot be moved to 'running'"),
        (lambda c, id_: transition(c, [id_], "invented", actor="p"), "cannot be moved to 'invented'"),
    ],
)
def test_what_the_machine_does_not_allow_is_refused_and_nothing_of_the_call_happens(
    connection: Connection, stored: Callable[[Connection], dict], operation: Callable, problem: str
) -> None:
    (done,) = create(connection)
    complete(connection, claim(connection, "test.job", worker="w"))
    before = stored(connection)
    with pytest.raises(IllegalTransitionError, match=problem):
        operation(connection, done)
    assert stored(connection) == before


def test_an_unknown_or_repeated_workflow_is_refused_with_all_the_others(connection: Connection) -> None:
    (id_,) = create(connection)
    with pytest.raises(WorkflowNotFoundError):
        cancel(connection, [id_, uuid7()], actor="person")
    with pytest.raises(UsageError, match="twice"):
        cancel(connection, [id_, id_], actor="person")
    with pytest.raises(UsageError, match="1 workflows, but 2 values of result"):
        complete(connection, claim(connection, "test.job", worker="w"), [1, 2])
    assert get(connection, id_).status == "running"


def test_every_operation_takes_nothing_and_does_nothing(connection: Connection) -> None:
    complete(connection, [])
    heartbeat(connection, [])
    cancel(connection, [], actor="person")
    assert fail(connection, [], []) == []
    assert reclaim_expired(connection) == expire_due(connection) == []


def test_workflows_of_several_types_are_moved_in_one_call(connection: Connection) -> None:
    ids = [create_workflow(connection, name, actor="test") for name in ("test.job", "test.announced")]
    cancel(connection, ids, actor="person")
    assert statuses(connection, ids) == ["cancelled", "cancelled"]


def test_transitions_are_announced_on_the_queue_of_their_type_only(connection: Connection) -> None:
    create(connection)
    id_ = create_workflow(connection, "test.announced", {"secret": "s3cret"}, actor="test", key="k")
    cancel(connection, [id_], actor="person", reason="s3cret")
    told = connection.execute(text("SELECT queue, payload FROM messages ORDER BY id")).all()
    assert [(queue, payload["from"], payload["to"], payload["key"]) for queue, payload in told] == [
        ("announcements", None, "pending", "k"),
        ("announcements", "pending", "cancelled", "k"),
    ]
    assert "s3cret" not in str(told)


def test_concurrent_transitions_of_one_workflow_make_one_chain(engine: Engine) -> None:
    """The second waits for the first, and then sees what the first made of it."""
    with engine.begin() as connection:
        (id_,) = create(connection)
    with engine.connect() as one, engine.connect() as two:
        pause(one, [id_], actor="one")
        two.execute(text("SET lock_timeout = '200ms'"))
        with pytest.raises(Exception, match="lock timeout"):
            cancel(two, [id_], actor="two")
        two.rollback()
        one.commit()
        cancel(two, [id_], actor="two")
        two.commit()
        assert [e.actor for e in get_events(two, id_)] == ["test", "one", "two"]
        assert verify_history(two) is None


def test_a_dependent_created_while_its_dependency_completes_is_not_forgotten(engine: Engine) -> None:
    """Whichever of the two commits first, the dependent ends up claimable."""
    with engine.begin() as connection:
        (first,) = create(connection)
        held = claim(connection, "test.job", worker="w")
    with engine.connect() as creator, engine.connect() as worker:
        creator.execute(text("SET lock_timeout = '200ms'"))
        complete(worker, held)
        with pytest.raises(Exception, match="lock timeout"):
            create_workflow(creator, "test.job", actor="test", depends_on=[first])
        creator.rollback()
        worker.commit()
        create_workflow(creator, "test.job", actor="test", depends_on=[first])
        creator.commit()
        assert len(claim(worker, "test.job", worker="w", limit=9)) == 1
