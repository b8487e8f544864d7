"""Workflows that wait for an approval: started once, with exactly what was asked for."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from qflow_dagster.approvals import records
from qflow_dagster.approvals.approved_workflows import request_workflow, start_approved
from qflow_dagster.quantumflow import find, register
from tests import decisions
from tests.approvals.conftest import ask, status

register("test.report")


def test_requests_for_workflows_go_to_a_queue_of_their_own(
    engine: Engine, sent: Callable[[str], list[Any]]
) -> None:
    with engine.begin() as connection:
        ask(connection, "workflow", "test.report", {"type": "test.report", "payload": {}})
    assert sent("approval_notifications") == []
    assert {message["type"] for message in sent("workflow_approval_notifications")} == {"workflow_approval"}


def test_an_approved_workflow_starts_once_with_exactly_what_was_asked(engine: Engine) -> None:
    with engine.begin() as connection:
        id_ = request_workflow(connection, "test.report", {"week": 47}, requested_by="bot", reason="weekly")
        assert find(connection, type_name="test.report") == []
    assert start_approved(engine, worker="w") == []
    with engine.begin() as connection:
        decisions.approve(connection, id_, actor="ada")
    [started] = start_approved(engine, worker="w", run_id="r")
    assert start_approved(engine, worker="w") == []
    with engine.connect() as connection:
        [workflow] = find(connection, type_name="test.report")
        used = records.approval_history(connection, id_)[-1]
    assert (workflow.id, workflow.payload) == (started.created, {"week": 47})
    assert (used["event"], used["run_id"]) == ("consumed", "r")


def test_one_that_cannot_start_holds_up_no_other(engine: Engine) -> None:
    with engine.begin() as connection:
        wrong = ask(connection, "workflow", "no.such", {"type": "no.such", "payload": {}})
        right = request_workflow(connection, "test.report", {}, requested_by="bot", reason="r")
        for id_ in (wrong, right):
            decisions.approve(connection, id_, actor="ada")
    results = {item.row: item for item in start_approved(engine, worker="w")}
    assert results[right].created
    assert "unknown workflow type" in (results[wrong].problem or "")
    assert status(engine, wrong) == "approved"
