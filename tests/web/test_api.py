"""The HTTP API of approvals: what it answers, for whom, and that any request gets a response that the document names."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from qflow_dagster.approvals import records
from qflow_dagster.errors import UsageError
from qflow_dagster.web import api, api_tokens, identities
from qflow_dagster.web.app import build_app

Ask = Callable[..., UUID]
URL = "/api/v1/approvals"


@pytest.fixture
def token(engine: Engine) -> Callable[..., dict[str, str]]:
    """Make a token for `ada`; return the header that carries it."""

    def make(*scopes: str, name: str = "ada", days: float = 1) -> dict[str, str]:
        with engine.begin() as connection:
            _, made = api_tokens.issue(connection, name, scopes or api_tokens.SCOPES, days=days, actor="root")
        return {"Authorization": f"Bearer {made}"}

    return make


def test_a_request_is_made_listed_passed_on_decided_and_read(
    client: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    bob, ada = token(name="bob"), token()
    form = [{"name": "when", "type": "choice", "choices": ["now"], "required": True}]
    wanted = {"kind": "edit", "target": "x.py", "content": {"patch": "p"}, "reason": "because", "form": form}
    made = client.post(URL, json=wanted, headers=bob)
    assert made.status_code == 201, made.text
    approval = made.json()
    one = f"{URL}/{approval['id']}"
    assert (
        client.get(URL, params={"status": "pending", "search": "BECAUSE"}, headers=ada).json()["total"] == 1
    )
    assert client.post(f"{one}/comments", json={"comment": "urgent?"}, headers=bob).status_code == 200
    assert (
        client.post(f"{one}/assignments", json={"to": "ada", "reason": "hers"}, headers=bob).json()["owner"]
        == "ada"
    )
    decision = {"decision": "approve", "digest": approval["digest"]}
    for changed, headers, status in (
        ({}, bob, 409),
        ({}, ada, 409),
        ({"answers": {"when": "now"}, "digest": "00"}, ada, 409),
        ({"answers": {"when": "now"}}, ada, 200),
        ({"decision": "deny"}, ada, 409),
    ):
        answer = client.post(f"{one}/decisions", json={**decision, **changed}, headers=headers)
        assert answer.status_code == status, answer.text
    assert client.get(one, headers=ada).json()["status"] == "approved"
    assert "qfa_" not in client.get(one, headers=ada).text
    events = [event["event"] for event in client.get(f"{one}/history", headers=ada).json()["events"]]
    assert events == ["created", "requested", "comment", "reassigned", "approve"]


def test_several_are_decided_at_once(client: TestClient, ask: Ask, engine: Engine, token: Any) -> None:
    good, own = ask(), ask(requested_by="ada")
    with engine.connect() as connection:
        seen = {str(id_): records.show(connection, id_)["digest"] for id_ in (good, own)}
    sent = {"decision": "deny", "seen": seen}
    decided = client.post("/api/v1/decisions", json=sent, headers=token("decide")).json()["decisions"]
    assert [(row["id"], row["status"]) for row in decided] == [(str(good), "denied"), (str(own), None)]
    assert "somebody else" in decided[1]["problem"]


def test_no_request_is_served_without_a_token_that_holds(
    client: TestClient, engine: Engine, ask: Ask, token: Any
) -> None:
    one = f"{URL}/{ask()}"
    good = token("read")["Authorization"]
    altered = good[:-2] + ("AA" if not good.endswith("AA") else "BB")
    refused = [
        None,
        "Basic YTpi",
        "Bearer",
        "Bearer qfp_",
        "Bearer qfp_AAAA",
        altered,
        f"Bearer {identities.sign('ada', days=1)}",
        "Bearer " + identities.signed("qfp_", "identity", [str(uuid4()), "ada", ["read"], 4_000_000_000]),
        "Bearer " + identities.signed("qfp_", "api", [str(uuid4()), "ada", ["read"], 4_000_000_000]),
    ]
    for value in refused:
        answer = client.get(one, headers={"Authorization": value} if value else {})
        assert answer.status_code == 401, value
        assert "WWW-Authenticate" in answer.headers
    assert client.get(one, headers={"Authorization": good}).status_code == 200
    assert client.get(one, headers={"Authorization": good, "Host": "evil.example"}).status_code == 421
    posted = {"Authorization": good, "Origin": "https://evil.example"}
    assert client.post(f"{one}/comments", json={"comment": "x"}, headers=posted).status_code == 403
    [row] = _tokens(engine)
    assert good.removeprefix("Bearer ") not in str(row)
    assert row["last_used_at"] is not None
    with engine.begin() as connection:
        api_tokens.revoke(connection, row["id"])
        with pytest.raises(UsageError, match="no token"):
            api_tokens.revoke(connection, row["id"])
    assert client.get(one, headers={"Authorization": good}).status_code == 401
    late = token("read")
    with engine.begin() as connection:
        connection.execute(text("UPDATE api_tokens SET expires_at = clock_timestamp()"))
    assert client.get(one, headers=late).status_code == 401


def test_a_scope_allows_what_it_names_alone(client: TestClient, ask: Ask, token: Any) -> None:
    one = f"{URL}/{ask()}"
    new = {"kind": "edit", "target": "x", "content": 1, "reason": "r"}
    attempts = {
        "read": client.get(one, headers=token("request", "decide")),
        "request": client.post(URL, json=new, headers=token("read", "decide")),
        "decide": client.post(
            f"{one}/decisions", json={"decision": "deny", "digest": ""}, headers=token("read")
        ),
    }
    for scope, answer in attempts.items():
        assert (answer.status_code, answer.json()["error"]) == (403, f"the token lacks the scope {scope}")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/nope", {}, 404),
        ("", {}, 404),
        ("/approvals", {"Host": "evil.example"}, 421),
        ("/approvals", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_whatever_refuses_a_request_of_the_api_says_so_in_json(
    client: TestClient, path: str, headers: dict[str, str], status: int
) -> None:
    answer = client.get(f"/api/v1{path}", headers=headers)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_a_token_is_made_for_a_person_with_known_scopes_only(engine: Engine) -> None:
    for name, scopes, days, words in (
        ("ada", ["all"], 1, "'all' is no scope"),
        ("ada", [], 1, "at least one scope"),
        ("policy:edit", ["read"], 1, "not a valid name"),
        ("ada", ["read"], 0, "more than 0"),
    ):
        with engine.begin() as connection, pytest.raises(UsageError, match=words):
            api_tokens.issue(connection, name, scopes, days=days, actor="root")


@pytest.fixture
def api_schema(engine: Engine, ask: Ask, token: Any, inbox_settings: Callable[..., None]) -> Any:
    """The document as it is served, with a token and a few approvals."""
    for number in range(3):
        ask(reason=f"change {number}")
    inbox_settings(hosts=["testserver", "localhost"])
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", build_app(engine, host="127.0.0.1"))
    schema.headers = token()
    return schema


def test_any_request_gets_a_response_that_the_document_names(api_schema: Any) -> None:
    operations = [result.ok() for result in api_schema.get_all_operations()]
    assert len(operations) == len(api.OPERATIONS)
    for operation in operations:

        @hypothesis_settings(max_examples=15, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            case.call_and_validate(headers=api_schema.headers)

        check()


def test_the_document_names_every_route(client: TestClient) -> None:
    served = client.get("/api/v1/openapi.json").json()
    assert served["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in served["paths"].items() for method in methods}
    assert described == {(operation.method, operation.path) for operation in api.OPERATIONS}


def _tokens(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return api_tokens.find(connection)
