"""The whole API of workflows, in any order and from several connections, against a model of a page.

The model knows nothing of SQL: a dictionary of workflows with status, attempt, dependencies
and who holds them. Every operation is done to both, in a transaction that is then committed
or rolled back; after each, both must say the same, and at the end all history must verify.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, Engine, text

from qflow_dagster.quantumflow import (
    JOB,
    IllegalTransitionError,
    Lease,
    LeaseLostError,
    NewWorkflow,
    cancel,
    claim,
    complete,
    create_workflows,
    expire_due,
    fail,
    find,
    get_events,
    heartbeat,
    pause,
    reclaim_expired,
    resume,
    retry,
    verify_history,
)
from tests.quantumflow.conftest import switch_triggers

NUMBERS = st.integers(0, 999)


@dataclass
class Model:
    """A workflow as it should be."""

    priority: int
    max_attempts: int
    depends_on: list[UUID]
    status: str = "pending"
    attempt: int = 0
    waits: bool = False
    lease: Lease | None = None
    events: int = 1
    # Completed dependencies that were retried do not block again, so they are counted once.
    met: set[UUID] = field(default_factory=set)


class Workflows(RuleBasedStateMachine):
    """Operations on workflows; `engine` is set by the test."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[UUID, Model] = {}
        self.reports: list[Lease] = []

    @initialize()
    def open_connections(self) -> None:
        self.connections = [self.engine.connect() for _ in range(3)]

    def teardown(self) -> None:
        for connection in self.connections:
            connection.close()
        with self.engine.begin() as connection:
            assert verify_history(connection) is None
            switch_triggers(connection, "DISABLE")
            for table in ("workflow_dependencies", "workflow_events", "workflows", "messages"):
                connection.execute(text(f"DELETE FROM {table}"))
            switch_triggers(connection, "ENABLE")

    def do(self, number: int, operation: Callable[[Connection], object], *, keep: bool = True) -> object:
        """Operate on one of the connections; `keep` says whether it is committed."""
        connection = self.connections[number % len(self.connections)]
        with connection.begin() as transaction:
            done = operation(connection)
            if not keep:
                transaction.rollback()
        return done

    def pick(self, number: int) -> UUID | None:
        return list(self.model)[number % len(self.model)] if self.model else None

    def ready(self) -> list[UUID]:
        return [
            id_
            for id_, m in self.model.items()
            if m.status in JOB.claimable and not m.waits and set(m.depends_on) <= m.met
        ]

    def enter(self, id_: UUID, status: str) -> None:
        m = self.model[id_]
        m.status, m.lease = status, None
        m.events += 1
        if status == "completed":
            for other in self.model.values():
                if id_ in other.depends_on:
                    other.met.add(id_)

    @rule(
        n=NUMBERS,
        count=st.integers(1, 4),
        priority=st.integers(-1, 1),
        attempts=st.integers(1, 3),
        depends=st.lists(NUMBERS, max_size=2),
        keep=st.booleans() | st.just(True),
    )
    def create(
        self, n: int, count: int, priority: int, attempts: int, depends: list[int], keep: bool
    ) -> None:
        depends_on = list({id_ for d in depends if (id_ := self.pick(d))})
        new = [
            NewWorkflow(
                type="test.job", priority=priority, max_attempts=attempts, depends_on=depends_on, ttl=3600
            )
            for _ in range(count)
        ]
        ids = self.do(n, lambda c: create_workflows(c, new, actor="model"), keep=keep)
        assert ids == [w.id for w in new]
        if keep:
            for w in new:
                met = {d for d in depends_on if self.model[d].status == "completed"}
                self.model[w.id] = Model(priority, attempts, depends_on, met=met)

    @rule(n=NUMBERS, limit=st.integers(1, 4), keep=st.booleans() | st.just(True))
    def claim(self, n: int, limit: int, keep: bool) -> None:
        ready = self.ready()
        held = self.do(n, lambda c: claim(c, "test.job", worker=f"w{n}", limit=limit), keep=keep)
        assert isinstance(held, list)
        ids = [w.id for w in held]
        assert set(ids) <= set(ready)
        assert len(ids) == min(limit, len(ready))
        left = [self.model[id_].priority for id_ in ready if id_ not in ids]
        assert not ids or not left or min(self.model[id_].priority for id_ in ids) >= max(left)
        if keep:
            for w in held:
                self.enter(w.id, "running")
                m = self.model[w.id]
                m.attempt += 1
                m.lease = Lease(w.id, w.attempt)
                assert w.attempt == m.attempt
                self.reports.append(m.lease)

    def is_held(self, lease: Lease) -> bool:
        return self.model[lease.id].lease == lease

    @rule(n=NUMBERS, which=NUMBERS, keep=st.booleans() | st.just(True))
    def complete(self, n: int, which: int, keep: bool) -> None:
        if not self.reports:
            return
        lease = self.reports[which % len(self.reports)]
        if not self.is_held(lease):
            with pytest.raises(LeaseLostError):
                self.do(n, lambda c: complete(c, [lease]))
            return
        self.do(n, lambda c: complete(c, [lease], [which]), keep=keep)
        if keep:
            self.enter(lease.id, "completed")

    @rule(n=NUMBERS, which=NUMBERS, again=st.booleans())
    def fail(self, n: int, which: int, again: bool) -> None:
        if not self.reports:
            return
        lease = self.reports[which % len(self.reports)]
        if not self.is_held(lease):
            with pytest.raises(LeaseLostError):
                self.do(n, lambda c: fail(c, [lease], ["late"]))
            return
        m = self.model[lease.id]
        expected = "failed" if again and m.attempt < m.max_attempts else "dead"
        assert self.do(n, lambda c: fail(c, [lease], ["no"], retry=again)) == [expected]
        self.enter(lease.id, expected)
        m.waits = expected == "failed"

    @rule(n=NUMBERS)
    def report_on_all(self, n: int) -> None:
        """One lost lease among many refuses them all."""
        leases = list({lease.id: lease for lease in self.reports}.values())
        if all(self.is_held(lease) for lease in leases):
            self.do(n, lambda c: heartbeat(c, leases))
        else:
            with pytest.raises(LeaseLostError):
                self.do(n, lambda c: heartbeat(c, leases))
            with pytest.raises(LeaseLostError):
                self.do(n, lambda c: complete(c, leases))

    @rule(
        n=NUMBERS,
        which=NUMBERS,
        verb=st.sampled_from(["cancel", "pause", "resume", "retry"]),
        keep=st.booleans() | st.just(True),
    )
    def by_hand(self, n: int, which: int, verb: str, keep: bool) -> None:
        id_ = self.pick(which)
        if id_ is None:
            return
        operation = {"cancel": cancel, "pause": pause, "resume": resume, "retry": retry}[verb]
        goal = {"cancel": "cancelled", "pause": "paused", "resume": "pending", "retry": "pending"}[verb]
        status = self.model[id_].status
        origins = {"resume": {"paused"}, "retry": {"failed", "dead", "cancelled"}}
        allowed = status in origins.get(verb, JOB.states) and JOB.allows(status, goal)
        if not allowed:
            with pytest.raises(IllegalTransitionError):
                self.do(n, lambda c: operation(c, [id_], actor="person"))
            return
        self.do(n, lambda c: operation(c, [id_], actor="person"), keep=keep)
        if keep:
            self.enter(id_, goal)
            if verb == "retry":
                self.model[id_].waits = False

    @rule(n=NUMBERS)
    def delays_pass(self, n: int) -> None:
        self.do(n, lambda c: c.execute(text("UPDATE workflows SET available_at = statement_timestamp()")))
        for m in self.model.values():
            m.waits = False

    @rule(n=NUMBERS, which=NUMBERS)
    def lease_runs_out(self, n: int, which: int) -> None:
        held = [id_ for id_, m in self.model.items() if m.lease]
        if not held:
            return
        id_ = held[which % len(held)]
        over = text("UPDATE workflows SET lease_expires_at = statement_timestamp() WHERE id = :id")
        self.do(n, lambda c: c.execute(over, {"id": id_}))
        assert self.do(n + 1, reclaim_expired) == [id_]
        m = self.model[id_]
        self.enter(id_, "pending" if m.attempt < m.max_attempts else "dead")

    @rule(n=NUMBERS, which=NUMBERS)
    def term_ends(self, n: int, which: int) -> None:
        id_ = self.pick(which)
        if id_ is None or self.model[id_].status == "running":
            return
        over = text("UPDATE workflows SET expires_at = statement_timestamp() WHERE id = :id")
        expires = JOB.allows(self.model[id_].status, "expired")
        self.do(n, lambda c: c.execute(over, {"id": id_}))
        assert self.do(n + 1, expire_due) == ([id_] if expires else [])
        later = text("UPDATE workflows SET expires_at = NULL WHERE id = :id")
        self.do(n, lambda c: c.execute(later, {"id": id_}))
        if expires:
            self.enter(id_, "expired")

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        with self.engine.connect() as connection:
            found = {w.id: w for w in find(connection, limit=1_000)}
            assert {id_: (w.status, w.attempt) for id_, w in found.items()} == {
                id_: (m.status, m.attempt) for id_, m in self.model.items()
            }
            for id_, m in self.model.items():
                assert found[id_].remaining_dependencies == len(set(m.depends_on) - m.met)
                assert (found[id_].lease_owner is not None) == (m.lease is not None)
                assert (found[id_].finished_at is not None) == (m.status in JOB.terminal)
            if self.model:
                id_, m = next(reversed(self.model.items()))
                events = get_events(connection, id_)
                assert [e.seq for e in events] == list(range(1, m.events + 1))
                assert events[-1].to_status == m.status


def test_any_sequence_of_operations_does_what_the_model_does(engine: Engine) -> None:
    run_state_machine_as_test(
        type("WorkflowsHere", (Workflows,), {"engine": engine}),
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
