"""The page of a request says what was checked and what was not, who may decide, and how it goes on."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from qflow_dagster.agents.request_description import describe
from qflow_dagster.agents.request_progress import progress
from qflow_dagster.approvals import approved_workflows, arbiter, records, tokens
from qflow_dagster.approvals.approval import DecisionRefusedError
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import ApprovalsSettings
from tests import decisions
from tests.web.conftest import ME
from tests.web.test_inbox import decide, form_of, status

Ask = Callable[..., UUID]
EVIDENCE = {
    "rule": "python/mutable-default v1",
    "risk": "medium",
    "expected_acceptance": 0.9,
    "trust": {
        "level": "ask",
        "mean": 0.9,
        "lower": 0.7,
        "decisions": 1,
        "because": "1 decision, 10 are needed",
    },
    "gates": {
        "parses": "passed: no syntax error",
        "behaviour": "skipped: nothing to call",
        "tests": "skipped: No module named pytest",
        "build": "not applicable: no build file",
    },
}


def shown(engine: Engine, id_: UUID) -> Any:
    with engine.connect() as connection:
        return describe(connection, records.show(connection, id_))


def test_what_was_not_checked_is_said_first_and_the_risk_by_its_parts(engine: Engine, ask: Ask) -> None:
    description = shown(engine, ask(evidence=EVIDENCE))
    assert description.what == "Changes 2 lines in 1 file: src/cart.py."
    assert description.skipped == [("tests", "No module named pytest"), ("behaviour", "nothing to call")]
    assert description.passed == [("parses", "no syntax error")]
    assert description.risk == "medium"
    assert description.risk_parts == [
        "expected to be accepted: 90%",
        "trust level of the rule: ask (1 decision, 10 are needed), estimated confidence 0.9, at least 0.7, "
        "after 1 decision of people",
        "no test has shown that it works",
    ]
    assert description.why
    assert description.differs
    assert description.history == "This rule in all repositories: nothing was decided yet."
    assert description.rest == {}


def test_a_request_without_checks_says_so(engine: Engine, ask: Ask) -> None:
    assert shown(engine, ask()).skipped == [("tests", "the request names no check at all")]
    odd = shown(engine, ask(evidence={"gates": {"tests": True, "lint": False, "odd": 7}, "more": [1]}))
    assert (odd.passed, odd.failed, odd.skipped) == ([("tests", "")], [("lint", "")], [("odd", "7")])
    assert odd.rest == {"more": [1]}
    assert shown(engine, ask(evidence=["a", "list"])).rest == {"evidence": ["a", "list"]}


@pytest.mark.parametrize(
    "content",
    [
        "text",
        ["list"],
        {"patch": 7},
        {"suggestion": "no id", "patch": "x"},
        {"suggestion": "0190a5c4-7b1e-7000-8000-000000000000"},
        None,
        0,
    ],
    ids=repr,
)
def test_content_of_any_shape_has_a_page(client: TestClient, ask: Ask, content: Any) -> None:
    id_ = ask(content if content is not None else {}, evidence={"gates": "none", "findings": "x", "trust": 3})
    assert client.get(f"/approvals/{id_}").status_code == 200
    assert client.get(f"/approvals/selected?id={id_}").status_code == 200
    assert decide(client, id_, "approve").status_code == 303
    assert client.get(f"/approvals/{id_}?part").status_code == 200


def test_only_those_who_may_decide_are_offered_to(
    client: TestClient, engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = client.get(f"/approvals/{ask(requested_by=ME)}").text
    assert "somebody else has to decide it" in own
    assert 'value="approve"' not in own
    assert 'value="revoke"' in own
    monkeypatch.setattr(settings(), "approvals", ApprovalsSettings(deciders={"edit": ["ada"]}))
    others = client.get(f"/approvals/{ask()}").text
    assert "may not decide approvals of kind edit" in others
    assert 'value="approve"' not in others
    assert 'value="revoke"' not in others


def test_a_second_press_says_that_it_counts_already(client: TestClient, ask: Ask) -> None:
    id_ = ask(required_approvals=2)
    form = form_of(client.get(f"/approvals/{id_}").text)
    for _ in range(2):
        answer = client.post(f"/approvals/{id_}", data={**form, "decision": "approve"})
        assert answer.status_code == 303
    page = client.get(f"/approvals/{id_}").text
    assert "You decided already" in page
    assert "1 more person has to approve" in page
    assert 'value="approve"' not in page


def test_the_page_asks_for_the_fields_of_the_request(client: TestClient, engine: Engine, ask: Ask) -> None:
    id_ = ask(
        form=[
            {"name": "when", "type": "choice", "choices": ["now", "<tonight>"], "required": True},
            {"name": "regions", "type": "choice", "choices": ["eu", "us", "asia"], "multiple": True},
            {"name": "ticket", "type": "integer", "label": "Ticket", "minimum": 1},
            {"name": "sure", "type": "boolean"},
            {"name": "words", "default": '"><b>'},
        ]
    )
    page = client.get(f"/approvals/{id_}").text
    assert "<option>&lt;tonight&gt;</option>" in page
    assert 'value="&#34;&gt;&lt;b&gt;"' in page
    refused = decide(client, id_, "approve")
    assert refused.status_code == 409
    assert "needs an answer to &#39;when&#39;" in refused.text
    answers = {
        "answer.when": "now",
        "answer.regions": ["eu", "us"],
        "answer.ticket": "7",
        "answer.sure": "no",
    }
    assert decide(client, id_, "approve", **answers).status_code == 303
    with engine.connect() as connection:
        [decision] = records.show(connection, id_)["decisions"]
    assert decision["answers"] == {
        "when": "now",
        "regions": ["eu", "us"],
        "ticket": 7,
        "sure": False,
        "words": '"><b>',
    }


def test_a_comment_alone_decides_nothing(client: TestClient, engine: Engine, ask: Ask) -> None:
    id_ = ask()
    assert decide(client, id_, "comment", comment="is it urgent?").status_code == 303
    assert "is it urgent?" in client.get(f"/approvals/{id_}").text
    assert status(engine, id_) == "pending"
    assert decide(client, id_, "exclude", location="src/cart.py:1", reason="x").status_code == 409


def test_the_progress_names_the_run_that_failed_and_the_workflow_that_began(engine: Engine) -> None:
    with engine.begin() as connection:
        id_ = approved_workflows.request_workflow(
            connection, "generation", {"repository": "x"}, requested_by="bot", reason="because"
        )
        assert progress(connection, records.show(connection, id_)).steps == []
        decisions.approve(connection, id_, actor="ada")
        [queued] = progress(connection, records.show(connection, id_)).steps
        assert (queued.state, queued.message) == ("running", "Queued: a run uses it within seconds.")
        operation = "dagster.start_approved_workflows"
        track_errors(connection, [Occurrence(operation=operation, message="no disk space", run_id="r1")])
        [failed] = progress(connection, records.show(connection, id_)).steps
        assert (failed.state, failed.run_id) == ("failed", "r1")
        assert "no disk space" in failed.message
    [started] = approved_workflows.start_approved(engine, worker="run")
    with engine.begin() as connection:
        after = progress(connection, records.show(connection, id_))
        assert after.is_over
        assert after.steps[-1].path == f"/workflows/{started.created}"
        denied = arbiter.request_approval(connection, "edit", "x", {}, requested_by="bot", reason="r")
        decisions.deny(connection, denied, actor="ada")
        assert progress(connection, records.show(connection, denied)).steps[0].state == "ended"
        with pytest.raises(DecisionRefusedError, match="only an approved one"):
            tokens.replace_token(connection, denied, actor="ada")


def test_several_requests_are_decided_with_one_form(client: TestClient, engine: Engine, ask: Ask) -> None:
    good, own, other = ask(evidence=EVIDENCE), ask(requested_by=ME), ask(target="src/other.py")
    page = client.get("/approvals/selected", params={"id": [str(good), str(own), str(other), "junk"]}).text
    assert "Decide on 2 of 3 marked requests" in page
    assert "No test ran on 2 of them" in page
    seen = re.findall(r'name="seen" value="([^"]+)" checked', page)
    assert len(seen) == 2
    form = {"csrf": form_of(page)["csrf"], "decision": "approve", "comment": "a batch"}
    forged = f"{own} {'0' * 64}"
    answer = client.post("/approvals/selected", data={**form, "seen": [seen[0], forged]})
    assert "1 of 2 decided: approve" in answer.text
    assert "somebody else has to decide it" in answer.text
    assert [status(engine, id_) for id_ in (good, own, other)] == ["approved", "pending", "pending"]
    assert client.post("/approvals/selected", data={**form, "csrf": "0", "seen": seen[1]}).status_code == 403
    assert (
        client.post("/approvals/selected", data={**form, "decision": "x", "seen": seen[1]}).status_code == 400
    )
    assert (
        client.post(
            "/approvals/selected", data={**form, "seen": seen[1]}, headers={"Origin": "https://evil.example"}
        ).status_code
        == 403
    )
    assert status(engine, other) == "pending"


def test_the_list_keeps_its_filters_in_its_addresses(client: TestClient, ask: Ask) -> None:
    for number in range(53):
        ask(reason=f"change {number:02}", content={"repository": f"shop{number % 2}", "patch": "x"})
    first = client.get("/approvals").text
    assert "change 00" in first
    assert "change 50" not in first
    assert "1 to 50 of 53" in first
    assert "shop0 (27)" in first
    following = re.findall(r'rel="next" href="([^"]+)"', first)[0].replace("&amp;", "&")
    assert "change 50" in client.get(following).text
    filtered = client.get("/approvals?repository=shop1&search=change+1&sort=newest").text
    assert re.findall(r"change \d\d(?=</a>)", filtered) == [f"change {n}" for n in (19, 17, 15, 13, 11)]
    assert "repository=shop1" in re.findall(r'data-refresh="([^"]+)"', filtered)[0]
    assert "No approval matches these filters" in client.get("/approvals?repository=none").text
    for junk in (
        "status=x",
        "kind=x",
        "age=x",
        "page=0",
        "page=99999999",
        "sort=a.id;",
        "risk=%00",
        "search=%27",
    ):
        assert client.get(f"/approvals?{junk}").status_code == 200


def test_a_request_is_passed_on_by_form_with_a_reason(
    client: TestClient, engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "approvals", ApprovalsSettings(deciders={"edit": [ME, "ada"]}))
    id_ = ask()
    for refused, sentence in (
        ({"to": "ada", "comment": ""}, "needs a reason"),
        ({"to": "", "comment": "on holiday"}, "name the person"),
        ({"to": "bot", "comment": "on holiday"}, "bot"),
    ):
        answer = decide(client, id_, "reassign", **refused)
        assert answer.status_code == 409
        assert sentence in answer.text
    assert decide(client, id_, "reassign", to="ada", comment="on holiday").status_code == 303
    page = client.get(f"/approvals/{id_}").text
    assert "owner ada" in page
    assert "on holiday" in page
    assert decide(client, id_, "delegate", to="grace", comment="knows the cart").status_code == 303
    after = client.get(f"/approvals/{id_}").text
    assert "owner grace" in after
    assert 'value="approve"' not in after
