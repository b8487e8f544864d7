"""Dagster's page behind the guard: each of its routes was decided on, and nothing but JSON by POST changes anything."""

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from sqlalchemy import Engine
from starlette.testclient import TestClient, WebSocketDenialResponse

from qflow_dagster.launching.late_page import LatePage
from qflow_dagster.launching.page import SERVED, Page
from qflow_dagster.settings.platform import DAGSTER_PATH
from qflow_dagster.web.app import build_app
from tests.web.conftest import home, own_process

__all__ = ["home", "own_process"]
HERE = "http://127.0.0.1:3001"
QUERY = "{version}"
MUTATION = "mutation {setNuxSeen}"


# A notebook's scripts would run with the page's rights; the last is an old name of /server_info.
NOT_SERVED = {"/notebook", "/dagit/notebook", "/dagit_info"}


@pytest.fixture(scope="module")
def dagster_page() -> Iterator[Page]:
    with (
        dg.instance_for_test() as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget(), version="test") as context,
    ):
        yield Page(context, DAGSTER_PATH)


@pytest.fixture
def client(engine: Engine, dagster_page: Page) -> Iterator[TestClient]:
    late = LatePage(lambda _report: nullcontext((dagster_page.served(), lambda: {"shop": True})))
    app = build_app(engine, host="127.0.0.1", pages=late.routes(), locations=late.locations)
    with late.building(pytest.fail):
        while late.locations() is None:
            time.sleep(0.001)
        yield TestClient(app, base_url=HERE, follow_redirects=False)


def test_every_route_of_the_installed_version_was_decided_on(dagster_page: Page) -> None:
    [prefix, _] = dagster_page.build_routes()
    files = {route.path for route in dagster_page.build_static_routes()}
    assert {route.path for route in prefix.routes} - files == SERVED | NOT_SERVED


def test_it_is_below_its_path_and_our_pages_are_at_the_root(client: TestClient) -> None:
    assert client.get("/dagster").headers["Location"] == "/dagster/"
    page = client.get("/dagster/")
    assert "/dagster/_next/static/" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "'nonce-" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    script = page.text.partition('src="')[2].partition('"')[0]
    assert client.get(script).headers["Cache-Control"] == "no-cache"
    assert client.get("/").status_code == 200
    assert "default-src 'none'" in client.get("/approvals").headers["Content-Security-Policy"]
    assert client.get("/health/ready").json()["code_locations"] == {"shop": True}


def graphql(client: TestClient, query: str, **headers: str) -> Any:
    return client.post("/dagster/graphql", json={"query": query}, headers=headers)


def test_graphql_is_answered_to_its_own_page_and_to_programs(client: TestClient) -> None:
    assert graphql(client, QUERY).json()["data"]["version"]
    own = graphql(
        client, QUERY, **{"Origin": HERE, "Sec-Fetch-Site": "same-origin", "Referer": f"{HERE}/dagster/"}
    )
    assert own.status_code == 200
    assert graphql(client, MUTATION).json() == {"data": {"setNuxSeen": True}}


def test_graphql_is_not_answered_by_get(client: TestClient) -> None:
    ways = product(
        ("GET", "HEAD"), (QUERY, MUTATION), ("image/*", "application/json", ""), ("same-origin", "none", "")
    )
    for method, query, accept, site in ways:
        headers = {"Accept": accept, **({"Sec-Fetch-Site": site} if site else {})}
        answer = client.request(method, "/dagster/graphql", params={"query": query}, headers=headers)
        assert answer.status_code == 405, (method, query, accept, site)


KINDS = [
    None,
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/graphql",
    "text/plain; application/json",
    "text/plain;charset=application/json",
    "application/jsonx",
    "application/json, text/plain",
    "text/plain, application/json",
]
CHANGING = ("graphql", "report_asset_materialization/a", "report_asset_check/a", "report_asset_observation/a")


def test_what_a_form_of_another_site_can_send_changes_nothing(client: TestClient) -> None:
    for kind, path in product(KINDS, CHANGING):
        answer = client.post(
            f"/dagster/{path}",
            params={"query": MUTATION},
            content=json.dumps({"query": MUTATION}),
            headers={"Content-Type": kind} if kind else {},
        )
        assert answer.status_code == 415, (kind, path)


def test_the_page_to_write_queries_in_is_framed_by_nobody(client: TestClient) -> None:
    page = client.get("/dagster/graphql", params={"query": MUTATION}, headers={"Accept": "text/html"})
    assert "GraphiQL" in page.text
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert client.head("/dagster/graphql", headers={"Accept": "text/html"}).status_code == 405


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (
            {"Host": "evil.example:3001", "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
            421,
        ),
        ({"Host": "evil.example:3001"}, 421),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Referer": "https://evil.example/"}, 403),
    ],
)
def test_another_site_neither_asks_nor_changes(
    client: TestClient, headers: dict[str, str], code: int
) -> None:
    for path in ("graphql", "report_asset_materialization/a", "graphql/", "nowhere"):
        assert client.post(f"/dagster/{path}", json={"query": MUTATION}, headers=headers).status_code == code


def test_notebooks_are_not_served_and_logs_lie_in_their_folder(client: TestClient) -> None:
    for path in ("notebook?path=/x.ipynb&repoLocName=a", "dagit/notebook?path=/x.ipynb&repoLocName=a"):
        assert "ipynb" not in client.get(f"/dagster/{path}").text
    quiet = TestClient(client.app, base_url=HERE, raise_server_exceptions=False)
    for path in (
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2fetc/passwd",
        "a/%2e%2e/%2e%2e/%2e%2e/etc/hostname",
        "a/b.out",
    ):
        answer = quiet.get(f"/dagster/logs/{path}")
        assert answer.status_code in (404, 500)
        assert "Content-Disposition" not in answer.headers


LIVE = "ws://127.0.0.1:3001/dagster/graphql"
SUBSCRIBE = {
    "id": "1",
    "type": "start",
    "payload": {"query": "subscription {locationStateChangeEvents {event {message}}}"},
}


def test_live_updates_go_to_the_page_itself_alone(client: TestClient) -> None:
    own = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
    with client.websocket_connect(LIVE, ["graphql-ws"], headers=own) as live:
        live.send_json({"type": "connection_init"})
        assert live.receive_json() == {"type": "connection_ack"}
        live.send_json({"id": "2", "type": "start", "payload": {"query": MUTATION}})
        assert live.receive_json()["type"] == "error", "nothing is changed this way"
        live.send_json(SUBSCRIBE)
    for headers, code in (
        ({}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "ws://127.0.0.1:3001"}, 403),
        ({**own, "Host": "evil.example"}, 421),
        ({**own, "Sec-Fetch-Site": "cross-site"}, 403),
    ):
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            client.websocket_connect(LIVE, headers=headers),
        ):
            pass
        assert refused.value.status_code == code
