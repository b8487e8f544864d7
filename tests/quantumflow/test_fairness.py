"""Types whose claims go in turns: no key waits because another has more, and none is claimed faster than its rate."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import (
    Fairness,
    NewWorkflow,
    Workflow,
    claim,
    complete,
    complete_and_claim,
    create_workflows,
    fail,
    register,
)

register("test.fair", fairness=Fairness())
register("test.limited", fairness=Fairness(rate=2, seconds=60))


def create(connection: Connection, keys: str, type_name: str = "test.fair", **options: object) -> None:
    """Create a workflow for each letter of `keys`, in their order."""
    new = [NewWorkflow(type=type_name, fairness_key=key, payload=key, **options) for key in keys]  # type: ignore[arg-type]
    create_workflows(connection, new, actor="test")


def served(workflows: list[Workflow]) -> str:
    return "".join(workflow.payload for workflow in workflows)


def let_pass(connection: Connection, seconds: float) -> None:
    """Make all that was served served so much earlier."""
    statement = "UPDATE fairness_turns SET served_at = served_at - make_interval(secs => :seconds)"
    connection.execute(text(statement), {"seconds": seconds})


def test_keys_take_turns_whichever_has_more(connection: Connection) -> None:
    create(connection, "a" * 20)
    create(connection, "bbbcc")
    order, held = "", []
    for _ in range(9):
        held = complete_and_claim(connection, held, "test.fair", worker="w")
        order += served(held)
    assert order == "abcabcaba"
    # A new key does not wait for the others' backlog.
    create(connection, "d")
    assert served(claim(connection, "test.fair", worker="w")) == "d"


def test_a_claim_of_many_takes_as_many_of_each_key(connection: Connection) -> None:
    create(connection, "aaaaaaaabbbbc")
    assert Counter(served(claim(connection, "test.fair", worker="w", limit=6))) == {"a": 3, "b": 2, "c": 1}
    assert Counter(served(claim(connection, "test.fair", worker="w", limit=5))) == {"a": 3, "b": 2}
    assert served(claim(connection, "test.fair", worker="w", limit=5)) == "aa"
    assert claim(connection, "test.fair", worker="w", limit=5) == []


def test_within_a_key_the_order_is_that_of_priority_and_age(connection: Connection) -> None:
    create(connection, "a")
    create(connection, "b")
    create(connection, "a", priority=1)
    taken = claim(connection, "test.fair", worker="w", limit=2)
    assert sorted((workflow.payload, workflow.priority) for workflow in taken) == [("a", 1), ("b", 0)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    limits=st.lists(st.integers(1, 7), min_size=1, max_size=12),
)
def test_no_key_that_waits_is_behind_another_by_more_than_one(
    connection: Connection, counts: list[int], limits: list[int]
) -> None:
    waiting = Counter(dict(zip("abcde", counts, strict=False)))
    begun: Counter[str] = Counter()
    with connection.begin_nested() as savepoint:
        create(connection, "".join(key * count for key, count in waiting.items()))
        for limit in limits:
            taken = claim(connection, "test.fair", worker="w", limit=limit)
            assert len(taken) == min(limit, waiting.total())
            begun.update(served(taken))
            waiting.subtract(served(taken))
            still = [begun[key] for key, left in waiting.items() if left]
            # Who has none left may have had fewer, never more than who waits has had, and one.
            assert not still or max(begun.values(), default=0) <= min(still) + 1
        savepoint.rollback()


def test_a_rate_allows_so_many_claims_of_each_key_and_then_some_with_time(connection: Connection) -> None:
    create(connection, "aaaaab", "test.limited")
    assert sorted(served(claim(connection, "test.limited", worker="w", limit=9))) == ["a", "a", "b"]
    assert claim(connection, "test.limited", worker="w", limit=9) == []
    let_pass(connection, 29.0)
    assert claim(connection, "test.limited", worker="w", limit=9) == []
    let_pass(connection, 1.0)
    assert served(claim(connection, "test.limited", worker="w", limit=9)) == "a"
    # What was not used for long does not add up.
    let_pass(connection, 10_000.0)
    assert served(claim(connection, "test.limited", worker="w", limit=9)) == "aa"


def test_workers_at_once_keep_the_rate_and_claim_each_once(engine: Engine) -> None:
    with engine.begin() as connection:
        create(connection, "a" * 30 + "b" * 30, "test.limited")
        create(connection, "a" * 60 + "b" * 3)

    def drain(number: int) -> list[Workflow]:
        taken: list[Workflow] = []
        for _ in range(15):
            with engine.begin() as connection:
                limited = claim(connection, "test.limited", worker=f"w{number}", limit=2)
                fair = claim(connection, "test.fair", worker=f"w{number}")
                complete(connection, limited)
                taken += [*limited, *fair]
        return taken

    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        taken = [workflow for of_worker in pool.map(drain, range(4)) for workflow in of_worker]
    assert len({workflow.id for workflow in taken}) == len(taken)
    by_type = {
        name: Counter(w.payload for w in taken if w.type == name) for name in ("test.limited", "test.fair")
    }
    # Two at once, and one more for each half minute that the test took.
    most = 2 + (time.monotonic() - started) / 30
    assert all(2 <= count <= most for count in by_type["test.limited"].values())
    assert by_type["test.fair"] == {"a": 57, "b": 3}


def test_among_and_delays_hold_in_turns_too(connection: Connection) -> None:
    create(connection, "ab")
    create(connection, "c", delay=60.0)
    [first] = claim(connection, "test.fair", worker="w")
    other = {"a": "b", "b": "a"}[first.payload]
    assert claim(connection, "test.fair", worker="w", among=[first.id]) == []
    assert served(claim(connection, "test.fair", worker="w", limit=9)) == other


def test_workflows_of_before_the_type_had_fairness_take_turns_as_one_more_key(connection: Connection) -> None:
    create(connection, "ooooo")
    [held] = claim(connection, "test.fair", worker="w")
    # As a program that knew of no keys left them: four that wait, one that is held and will wait again.
    connection.execute(text("UPDATE workflows SET fairness_key = NULL"))
    connection.execute(text("DELETE FROM fairness_turns"))
    create(connection, "aaabbb")
    order = "".join(served(claim(connection, "test.fair", worker="w")) for _ in range(6))
    assert Counter(order) == {"o": 2, "a": 2, "b": 2}
    fail(connection, [held], [{"kind": "late"}])
    connection.execute(text("UPDATE workflows SET available_at = statement_timestamp()"))
    assert Counter(served(claim(connection, "test.fair", worker="w", limit=9))) == {"o": 3, "a": 1, "b": 1}


def test_a_key_belongs_to_types_with_fairness_alone(connection: Connection) -> None:
    for new in (
        NewWorkflow(type="test.fair"),
        NewWorkflow(type="test.job", fairness_key="a"),
        NewWorkflow(type="test.fair", fairness_key=""),
    ):
        with pytest.raises(UsageError, match="fairness_key"):
            create_workflows(connection, [new], actor="test")
    for wrong in ({"rate": 0}, {"rate": 1, "seconds": 0.0}, {"seconds": 90_000.0}):
        with pytest.raises(ValueError, match="rate"):
            Fairness(**wrong)  # type: ignore[arg-type]
