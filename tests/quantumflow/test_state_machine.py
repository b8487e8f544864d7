"""State machines: one declaration, used by the code, by the database and by the documentation."""

import importlib
import pkgutil
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

import qflow_dagster
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import (
    JOB,
    StateMachine,
    WorkflowType,
    create_workflow,
    register,
    registered_types,
    status_check,
)

REVIEW = StateMachine(
    name="review",
    initial="asked",
    transitions={
        "asked": frozenset({"granted", "refused"}),
        "granted": frozenset(),
        "refused": frozenset({"asked"}),
    },
    terminal=frozenset({"granted", "refused"}),
    completed="granted",
)


def test_a_job_is_never_stuck_every_state_that_is_not_terminal_leads_to_a_terminal_one() -> None:
    for state in JOB.states:
        reached = {state}
        while more := {follower for s in reached for follower in JOB.transitions[s]} - reached:
            reached |= more
        assert reached & JOB.terminal, state


def test_a_completed_job_is_final() -> None:
    assert JOB.transitions["completed"] == frozenset()


def test_a_dead_job_can_be_retried_by_hand_only() -> None:
    assert list(JOB.steps("retry"))
    assert "dead" not in JOB.claimable


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"initial": "nowhere"}, "unknown states"),
        ({"claimable": frozenset({"asked"}), "claimed": "refused"}, None),
        ({"claimable": frozenset({"granted"}), "claimed": "asked"}, "claim needs granted -> asked"),
        ({"leased": frozenset({"refused"})}, "complete needs refused -> granted"),
    ],
)
def test_a_machine_that_contradicts_itself_is_refused(change: dict, problem: str | None) -> None:
    declared = {field: getattr(REVIEW, field) for field in REVIEW.__dataclass_fields__}
    if problem is None:
        StateMachine(**declared | change)
    else:
        with pytest.raises(ValueError, match=problem):
            StateMachine(**declared | change)


def test_a_type_is_registered_once() -> None:
    register("test.review_once", machine=REVIEW)
    register("test.review_once", machine=REVIEW)
    with pytest.raises(UsageError, match="registered twice"):
        register("test.review_once")


@pytest.mark.parametrize("queue", ["", "1st", "with space", "q" * 64, "quote'"])
def test_a_queue_whose_name_is_no_channel_is_refused(queue: str) -> None:
    with pytest.raises(UsageError, match="cannot name a queue"):
        register(f"test.told_{queue}", queue=queue)


def test_the_database_enforces_the_states_of_a_job(connection: Connection) -> None:
    create_workflow(connection, "test.job", actor="test")
    with pytest.raises(IntegrityError, match="ck_workflows_status"):
        connection.execute(text("UPDATE workflows SET status = 'invented'"))


def test_the_database_enforces_exactly_what_the_registered_machines_of_the_project_say(
    connection: Connection,
) -> None:
    """PostgreSQL prints both constraints in its own words; they must be the same words."""
    connection.execute(
        text(f"CREATE TEMPORARY TABLE declared (type text, status text CHECK ({status_check(_ours())}))")
    )
    printed = text("""
        SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE contype = 'c' AND (conname = 'ck_workflows_status' OR conrelid = 'declared'::regclass)
    """)
    assert len(set(connection.scalars(printed).all())) == 1


def test_a_machine_of_its_own_is_enforced_for_its_type_only(connection: Connection) -> None:
    review = WorkflowType("test.review", REVIEW)
    connection.execute(text("ALTER TABLE workflows DROP CONSTRAINT ck_workflows_status"))
    connection.execute(
        text(f"ALTER TABLE workflows ADD CONSTRAINT ck_workflows_status CHECK ({status_check([review])})")
    )
    register("test.review", machine=REVIEW)
    create_workflow(connection, "test.review", actor="test")
    create_workflow(connection, "test.job", actor="test")
    with pytest.raises(IntegrityError), connection.begin_nested():
        connection.execute(text("UPDATE workflows SET status = 'running' WHERE type = 'test.review'"))
    with pytest.raises(IntegrityError), connection.begin_nested():
        connection.execute(text("UPDATE workflows SET status = 'asked' WHERE type = 'test.job'"))


def test_the_documentation_shows_the_machine_that_runs() -> None:
    page = Path(qflow_dagster.__file__).parents[1] / "docs" / "durable_core.md"
    assert JOB.mermaid() in page.read_text()


def _ours() -> list[WorkflowType]:
    """The types that the domains register when they are imported."""
    thin_layer = ("cli", "definitions", "jobs", "sensors", "schedules", "checks", "assets", "resources")
    for module in pkgutil.walk_packages(qflow_dagster.__path__, "qflow_dagster."):
        if module.name.split(".")[1] not in thin_layer and "migrations" not in module.name:
            importlib.import_module(module.name)
    return [declared for declared in registered_types() if not declared.name.startswith("test.")]
