"""Creating, finding and linking workflows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import (
    DependencyCycleError,
    IllegalTransitionError,
    NewWorkflow,
    WorkflowNotFoundError,
    add_dependencies,
    claim,
    complete,
    create_workflow,
    create_workflows,
    dependencies,
    fail,
    find,
    get,
    get_events,
    resolve,
    retry,
    uuid7,
    uuid7s,
)


def job(**fields: object) -> NewWorkflow:
    return NewWorkflow(type="test.job", **fields)  # type: ignore[arg-type]


@given(st.integers(0, 2_000))
def test_uuid7_are_of_version_7_and_ascend_within_a_batch(count: int) -> None:
    ids = uuid7s(count)
    assert all(id_.version == 7 and id_.variant == "specified in RFC 4122" for id_ in ids)
    assert ids == sorted(set(ids))


def test_a_created_workflow_reads_back_as_it_was_given(connection: Connection) -> None:
    parent = create_workflow(connection, "test.job", actor="test")
    id_ = create_workflow(
        connection,
        "test.job",
        {"deep": [1, None, {"ü": "\\u0000 is fine as text"}]},
        actor="test",
        key="k",
        priority=3,
        max_attempts=7,
        parent_id=parent,
        run_id="run",
        ttl=60.0,
    )
    found = get(connection, id_)
    assert found.payload == {"deep": [1, None, {"ü": "\\u0000 is fine as text"}]}
    assert (found.key, found.priority, found.max_attempts, found.parent_id, found.run_id) == (
        "k",
        3,
        7,
        parent,
        "run",
    )
    assert (found.status, found.attempt, found.result, found.finished_at) == ("pending", 0, None, None)
    assert found.expires_at is not None
    assert (found.expires_at - found.created_at).total_seconds() == 60
    (event,) = get_events(connection, id_)
    assert (event.seq, event.from_status, event.to_status, event.actor) == (1, None, "pending", "test")


@pytest.mark.parametrize(
    ("payload", "stored"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        ("a\0b\\u0000", "a\ufffdb\\u0000"),
        ("half \ud800", "half \ufffd"),
        ({"\0": "\udfff"}, {"\ufffd": "\ufffd"}),
        (10**400, "[integer of 1329 bits]"),
        (10**5_000, "[integer of 16610 bits]"),
    ],
    ids=["nan", "infinity", "nul", "half", "key", "integer", "very long integer"],
)
def test_what_jsonb_cannot_hold_is_replaced_and_the_rest_of_the_payload_kept(
    connection: Connection, payload: object, stored: object
) -> None:
    create_workflow(connection, "test.job", {"beside": 1, "value": payload}, actor="test", key="a\0b")
    (found,) = find(connection)
    assert found.payload["beside"] == 1
    assert found.payload["value"] in (stored, payload)
    assert found.key == "a\ufffdb"


def test_a_payload_that_nests_too_deeply_or_in_itself_is_stored_without_its_depths(
    connection: Connection,
) -> None:
    deep: Any = "bottom"
    for _ in range(3_000):
        deep = {"a": deep, "beside": 1}
    circle: list[Any] = [1]
    circle += [circle, circle]
    for key, payload in (("deep", deep), ("circle", circle)):
        create_workflow(connection, "test.job", payload, actor="test", key=key)
    payloads = {found.key: found.payload for found in find(connection)}
    assert payloads["circle"] == [1, "[nested too deeply]", "[nested too deeply]"]
    assert payloads["deep"]["a"]["beside"] == 1


def test_a_payload_that_is_no_json_is_refused_before_the_server_sees_it(connection: Connection) -> None:
    with pytest.raises(UsageError, match="payload of a workflow cannot be stored as JSON"):
        create_workflow(connection, "test.job", {"set": {1}}, actor="test")
    assert find(connection) == []


def test_an_unknown_type_is_refused_with_those_there_are(connection: Connection) -> None:
    with pytest.raises(UsageError, match=r"unknown workflow type 'test.no'.*test\.job"):
        create_workflow(connection, "test.no", actor="test")


def test_creating_with_the_same_type_and_key_again_finds_the_first(connection: Connection) -> None:
    first = create_workflow(connection, "test.job", {"n": 1}, actor="test", key="k")
    again = create_workflows(connection, [job(key="k", payload={"n": 2}), job(key="other")], actor="test")
    assert again[0] == first
    assert get(connection, first).payload == {"n": 1}
    assert len(find(connection)) == 2
    assert len(get_events(connection, first)) == 1


def test_the_same_key_twice_in_one_call_makes_one_workflow(connection: Connection) -> None:
    a, b = create_workflows(connection, [job(key="k"), job(key="k")], actor="test")
    assert a == b
    assert len(find(connection)) == 1


def test_a_key_is_unique_per_type_only(connection: Connection) -> None:
    new = [job(key="k"), NewWorkflow(type="test.announced", key="k")]
    assert len(set(create_workflows(connection, new, actor="test"))) == 2


def test_creating_nothing_is_no_error(connection: Connection) -> None:
    assert create_workflows(connection, [], actor="test") == []


def test_find_filters_and_pages_newest_first(connection: Connection) -> None:
    ids = create_workflows(connection, [job(priority=n) for n in range(5)], actor="test")
    first, second = find(connection, limit=2), find(connection, limit=2, before=ids[3])
    assert [w.id for w in first + second] == [ids[4], ids[3], ids[2], ids[1]]
    (claimed,) = claim(connection, "test.job", worker="w", run_id="r")
    assert [w.id for w in find(connection, status="running")] == [claimed.id]
    assert [w.id for w in find(connection, run_id="r")] == [claimed.id]
    assert find(connection, type_name="test.announced") == []


def test_an_id_may_be_shortened_to_a_unique_beginning(connection: Connection) -> None:
    ids = create_workflows(connection, [job() for _ in range(20)], actor="test")
    assert resolve(connection, str(ids[7])) == ids[7]
    assert resolve(connection, str(ids[7]).replace("-", "").upper()) == ids[7]
    with pytest.raises(WorkflowNotFoundError, match="matches several"):
        resolve(connection, str(ids[0])[:8])
    for unknown in ("ffffffff", "xyz", "", "0" * 33):
        with pytest.raises(WorkflowNotFoundError):
            resolve(connection, unknown)


def test_what_does_not_exist_is_said_so(connection: Connection) -> None:
    with pytest.raises(WorkflowNotFoundError, match="there is no workflow"):
        get(connection, uuid7())


def test_a_workflow_waits_until_all_its_dependencies_completed(connection: Connection) -> None:
    a, b = uuid7s(2)
    new = [job(id=a, priority=1), job(id=b), job(depends_on=[a, b], priority=9)]
    *_, last = create_workflows(connection, new, actor="test")
    (first,) = claim(connection, "test.job", worker="w")
    assert first.id == a
    complete(connection, [first])
    (second,) = claim(connection, "test.job", worker="w", limit=9)
    assert second.id == b
    assert get(connection, last).remaining_dependencies == 1
    complete(connection, [second])
    (third,) = claim(connection, "test.job", worker="w", limit=9)
    assert third.id == last
    assert [w.id for w in dependencies(connection, last)] == [a, b]


def test_several_dependencies_completed_in_one_call_count_each(connection: Connection) -> None:
    a, b = uuid7s(2)
    *_, last = create_workflows(connection, [job(id=a), job(id=b), job(depends_on=[a, b])], actor="test")
    complete(connection, claim(connection, "test.job", worker="w", limit=9))
    assert [w.id for w in claim(connection, "test.job", worker="w", limit=9)] == [last]


def test_a_dependency_that_completed_before_does_not_hold_anything_up(connection: Connection) -> None:
    done = create_workflow(connection, "test.job", actor="test")
    complete(connection, claim(connection, "test.job", worker="w"))
    late = create_workflow(connection, "test.job", actor="test", depends_on=[done])
    assert [w.id for w in claim(connection, "test.job", worker="w")] == [late]


def test_dependents_of_a_dead_workflow_wait_until_it_is_retried_and_completes(connection: Connection) -> None:
    first = create_workflow(connection, "test.job", actor="test", max_attempts=1)
    waiting = create_workflow(connection, "test.job", actor="test", depends_on=[first])
    assert fail(connection, claim(connection, "test.job", worker="w"), ["broken"]) == ["dead"]
    assert claim(connection, "test.job", worker="w") == []
    retry(connection, [first], actor="person")
    complete(connection, claim(connection, "test.job", worker="w"))
    assert [w.id for w in claim(connection, "test.job", worker="w")] == [waiting]


def test_a_dependency_on_a_key_that_exists_is_one_on_the_workflow_that_has_it(connection: Connection) -> None:
    existing = create_workflow(connection, "test.job", actor="test", key="k")
    again = job(key="k")
    _, dependent = create_workflows(connection, [again, job(depends_on=[again.id])], actor="test")
    assert [w.id for w in dependencies(connection, dependent)] == [existing]


def test_a_cycle_is_refused_and_named(connection: Connection) -> None:
    a, b, c = uuid7s(3)
    circle = [job(id=a, depends_on=[c]), job(id=b, depends_on=[a]), job(id=c, depends_on=[b])]
    with pytest.raises(DependencyCycleError, match=r"form a cycle: .* -> .* -> "):
        create_workflows(connection, circle, actor="test")
    with pytest.raises(DependencyCycleError):
        create_workflows(connection, [job(id=a, depends_on=[a])], actor="test")
    assert find(connection) == []


def test_a_cycle_through_what_is_there_is_refused(connection: Connection) -> None:
    a, b, c = uuid7s(3)
    chain = [job(id=a), job(id=b, depends_on=[a]), job(id=c, depends_on=[b])]
    create_workflows(connection, chain, actor="test")
    with pytest.raises(DependencyCycleError):
        add_dependencies(connection, [(a, c)])
    assert get(connection, a).remaining_dependencies == 0
    add_dependencies(connection, [(c, a)])
    assert get(connection, c).remaining_dependencies == 2


def test_a_missing_dependency_is_refused_and_nothing_is_created(connection: Connection) -> None:
    with pytest.raises(WorkflowNotFoundError, match="to depend on"):
        create_workflow(connection, "test.job", actor="test", depends_on=[uuid7()])
    assert find(connection) == []


def test_adding_a_dependency_twice_counts_once(connection: Connection) -> None:
    a, b = create_workflows(connection, [job(), job()], actor="test")
    add_dependencies(connection, [(b, a), (b, a)])
    add_dependencies(connection, [(b, a)])
    assert get(connection, b).remaining_dependencies == 1


def test_what_is_held_or_ended_cannot_be_made_to_wait(connection: Connection) -> None:
    a, b = create_workflows(connection, [job(priority=1), job()], actor="test")
    held = claim(connection, "test.job", worker="w")
    with pytest.raises(IllegalTransitionError, match="neither held nor ended"):
        add_dependencies(connection, [(a, b)])
    complete(connection, held)
    with pytest.raises(IllegalTransitionError, match="neither held nor ended"):
        add_dependencies(connection, [(a, b)])


def test_a_long_chain_created_one_by_one_and_at_once_is_no_quadratic_affair(connection: Connection) -> None:
    """A thousand workflows, each on the one before, in one call; then a check through all of them."""
    ids = uuid7s(1_000)
    chain = [job(id=id_, depends_on=ids[max(0, n - 1) : n]) for n, id_ in enumerate(ids)]
    create_workflows(connection, chain, actor="test")
    with pytest.raises(DependencyCycleError):
        add_dependencies(connection, [(ids[0], ids[-1])])
