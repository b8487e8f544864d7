"""The guard: names of ours alone, pages of ours alone, and nobody under a name that it did not establish."""

import os
import pwd
import socket
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient, WebSocketDenialResponse

from qflow_dagster.approvals import records
from qflow_dagster.errors import UsageError
from qflow_dagster.web import peers
from qflow_dagster.web.access import hash_password
from qflow_dagster.web.app import build_app
from tests.web.conftest import ME
from tests.web.test_inbox import decide, form_of, status

Ask = Callable[..., UUID]
Change = Callable[..., None]
HERE = "http://127.0.0.1:3001"
PASSWORD = "correct horse battery"


# Names


FOREIGN_NAMES = [
    "evil.example",
    "evil.example:3001",
    "127.0.0.1.evil.example",
    "localhost.evil.example:80",
    "127.0.0.1.nip.io",
    "localhost.",
    "127.0.0.1.",
    "0.0.0.0",
    "0.0.0.0:3001",
    "0",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "127.0.0.2",
    "localhost@evil.example",
    "evil.example@localhost",
    "user:pw@localhost",
    "localhost:3001@evil.example",
    "[::]",
    "[::ffff:127.0.0.1]",
    "::1",
    "[::1",
    "[0:0:0:0:0:0:0:1]",
    "[::1%25lo]",
    "localhost:",
    "localhost:80:80",
    "localhost:99999",
    "localhost:port",
    "localhost/evil.example",
    "",
    " ",
    "localhost, evil.example",
    "localhost\tevil.example",
    "http://localhost",
    "localhost#",
    "localhost\\evil.example",
]


def test_a_name_that_is_not_ours_is_refused(client: TestClient) -> None:
    for name in FOREIGN_NAMES:
        for path in ("/approvals", "/health/deep", "/api/1/envelope/"):
            assert client.get(path, headers={"Host": name}).status_code == 421, name


def test_a_name_of_ours_is_answered(client: TestClient) -> None:
    for name in ("localhost:3001", "127.0.0.1", "[::1]:3001", "LOCALHOST", "LocalHost:8080"):
        assert client.get("/approvals", headers={"Host": name}).status_code == 200, name


def test_no_name_and_two_names_are_refused(served: str) -> None:
    host, port = served.removeprefix("http://").split(":")
    for names in (
        [],
        ["localhost", "localhost"],
        ["localhost", "evil.example"],
        ["evil.example", "localhost"],
    ):
        lines = ["GET /approvals HTTP/1.0", *(f"Host: {name}" for name in names), "", ""]
        with socket.create_connection((host, int(port))) as client:
            client.sendall("\r\n".join(lines).encode())
            assert client.recv(1_000).split()[1] in (b"421", b"400"), names


def test_configured_names_are_ours_and_others_are_not(engine: Engine, inbox_settings: Change) -> None:
    inbox_settings(hosts=["Qflow.example.org"], url="https://pages.example.org:8443/")
    client = TestClient(build_app(engine, host="127.0.0.1"), base_url=HERE)
    for name in ("qflow.example.org", "QFLOW.example.org:3001", "pages.example.org:8443"):
        assert client.get("/approvals", headers={"Host": name}).status_code == 200
    assert client.get("/approvals", headers={"Host": "other.example.org"}).status_code == 421


# Pages of ours


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        # A link in a message leads to an approval.
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, 200),
        ({"Referer": "https://chat.example.org/"}, 200),
    ],
)
def test_other_pages_may_lead_here_and_read_nothing(
    client: TestClient, headers: dict[str, str], code: int
) -> None:
    assert client.get("/approvals", headers=headers).status_code == code


FOREIGN_PAGES = [
    [("Origin", "https://evil.example")],
    [("Origin", HERE), ("Origin", "https://evil.example")],
    [("Origin", HERE), ("Origin", HERE)],
    [("Origin", f"{HERE}.evil.example")],
    [("Origin", f"{HERE}/")],
    [("Origin", "http://127.0.0.1:3002")],
    [("Origin", "http://localhost:3001")],
    [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    [("Origin", HERE), ("Sec-Fetch-Site", "cross-site")],
    [("Referer", f"{HERE}@evil.example/")],
    [("Referer", f"{HERE}.evil.example/")],
]


def test_another_page_changes_nothing_whatever_the_method(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "QUERY"):
        for headers in FOREIGN_PAGES:
            for path in ("/approvals", "/api/1/envelope/", "/nowhere"):
                answer = client.request(method, path, headers=headers, content=b"{}")
                assert answer.status_code == 403, (method, headers, path)


def test_our_own_page_may_post(client: TestClient, engine: Engine, ask: Ask) -> None:
    id_ = ask()
    client.headers.update(
        {"Origin": HERE, "Sec-Fetch-Site": "same-origin", "Referer": f"{HERE}/approvals/{id_}"}
    )
    assert decide(client, id_, "deny").status_code == 303
    assert status(engine, id_) == "denied"


def test_behind_tls_the_configured_address_is_ours(engine: Engine, inbox_settings: Change, ask: Ask) -> None:
    inbox_settings(url="https://qflow.example.org", accounts={"ada": hash_password(PASSWORD)})
    client = TestClient(
        build_app(engine, host="0.0.0.0"), base_url="http://qflow.example.org", follow_redirects=False
    )
    client.auth = ("ada", PASSWORD)
    for source, code in (("https://qflow.example.org", 303), ("https://evil.example", 403)):
        id_ = ask()
        form = form_of(client.get(f"/approvals/{id_}").text)
        headers = {"Origin": source, "Sec-Fetch-Site": "same-origin"}
        answer = client.post(f"/approvals/{id_}", data={**form, "decision": "deny"}, headers=headers)
        assert answer.status_code == code


@pytest.mark.parametrize("source", [None, "null", "https://evil.example", "http://127.0.0.1:3002"])
def test_a_websocket_of_another_page_or_of_none_is_refused(client: TestClient, source: str | None) -> None:
    headers = {"Origin": source} if source else {}
    address = "ws://127.0.0.1:3001/dagster/graphql"
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect(address, headers=headers),
    ):
        pass
    assert refused.value.status_code == 403


# Who


def test_beyond_loopback_it_does_not_start_without_accounts(engine: Engine, inbox_settings: Change) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "inbox.example.org"):
        with pytest.raises(UsageError, match="would let everybody decide"):
            build_app(engine, host=host)
    inbox_settings(trusted_header="X-User")
    for host in ("0.0.0.0", "127.0.0.1"):
        with pytest.raises(UsageError, match="QFLOW_INBOX_PROXIES"):
            build_app(engine, host=host)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"proxies": ["proxy.local"]}, "QFLOW_INBOX_PROXIES: 'proxy.local'"),
        ({"proxies": ["*"]}, "QFLOW_INBOX_PROXIES"),
        ({"proxy_users": ["nobody of this name"]}, "QFLOW_INBOX_PROXY_USERS"),
        ({"url": "qflow.example.org"}, "QFLOW_INBOX_URL"),
        ({"url": "https://user:pw@qflow.example.org"}, "QFLOW_INBOX_URL"),
    ],
)
def test_a_wrong_setting_is_named(
    engine: Engine, inbox_settings: Change, values: dict[str, Any], words: str
) -> None:
    inbox_settings(**values)
    with pytest.raises(UsageError, match=words):
        build_app(engine, host="127.0.0.1")


def test_with_accounts_only_who_has_one_comes_in_and_decides_under_that_name(
    engine: Engine, ask: Ask, inbox_settings: Change
) -> None:
    inbox_settings(accounts={"ada": hash_password(PASSWORD)})
    client = TestClient(build_app(engine, host="192.0.2.1"), base_url="http://192.0.2.1")
    id_ = ask()
    for credentials in (None, ("ada", "wrong"), ("bob", PASSWORD), ("", "")):
        answer = client.get("/approvals", auth=credentials)
        assert (answer.status_code, "Basic" in answer.headers["WWW-Authenticate"]) == (401, True)
    assert client.get("/approvals", headers={"Authorization": "Basic !!!"}).status_code == 401
    live, own = "ws://192.0.2.1/dagster/graphql", {"Origin": "http://192.0.2.1"}
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(live, headers=own):
        pass
    assert refused.value.status_code == 401
    client.auth = ("ada", PASSWORD)
    assert decide(client, id_, "approve").status_code == 200
    with engine.connect() as connection:
        assert records.show(connection, id_)["decisions"][0]["actor"] == "ada"
    client.auth = None
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/deep").status_code == 401
    assert client.get("/metrics").status_code == 401


def test_the_name_is_the_systems_not_the_environments(
    client: TestClient, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert f"you are <b>{ME}</b>" in client.get(f"/approvals/{ask()}").text
    assert pwd.getpwuid(os.geteuid()).pw_name == ME


def test_a_process_of_another_user_reads_numbers_and_no_more(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner in (os.geteuid() + 1, None):
        monkeypatch.setattr(peers, "socket_owner", lambda *_, owner=owner: owner)
        for path, code in (
            ("/approvals", 401),
            ("/static/inbox.css", 401),
            ("/metrics", 200),
            ("/health/live", 200),
        ):
            assert client.get(path).status_code == code


# Proxies


def proxied(app: Any, address: str) -> TestClient:
    return TestClient(app, base_url="http://qflow.example.org", client=(address, 1), follow_redirects=False)


@pytest.mark.parametrize("address", ["10.0.0.7", "10.1.255.3", "::ffff:10.0.0.7", "fd00::9"])
def test_a_proxys_header_counts_from_the_proxy(engine: Engine, inbox_settings: Change, address: str) -> None:
    inbox_settings(trusted_header="X-User", proxies=["10.0.0.7", "10.1.0.0/16", "fd00::/8"])
    client = proxied(build_app(engine, host="0.0.0.0"), address)
    assert "you are <b>ada</b>" in client.get("/approvals", headers={"X-User": "ada"}).text
    assert client.get("/approvals").status_code == 401
    assert client.get("/approvals", headers={"X-User": " "}).status_code == 401
    twice = [("X-User", "mallory"), ("X-User", "ada")]
    assert client.get("/approvals", headers=twice).status_code == 401


CLAIMS = [
    {},
    {"X-Forwarded-For": "10.0.0.7"},
    {"X-Forwarded-For": "10.0.0.7, 10.0.0.7"},
    {"X-Real-IP": "10.0.0.7"},
    {"Forwarded": "for=10.0.0.7;host=qflow.example.org;proto=https"},
    {"X-Forwarded-Host": "10.0.0.7", "True-Client-IP": "10.0.0.7"},
]


def test_who_merely_claims_to_be_the_proxy_is_not(engine: Engine, inbox_settings: Change) -> None:
    inbox_settings(trusted_header="X-User", proxies=["10.0.0.7"])
    app = build_app(engine, host="0.0.0.0")
    for address in ("10.0.0.8", "127.0.0.1", "::1", "::ffff:10.0.0.8", "testclient"):
        for claims in CLAIMS:
            answer = proxied(app, address).get("/approvals", headers={"X-User": "admin", **claims})
            assert answer.status_code == 401, (address, claims)


@pytest.mark.parametrize(
    ("forwarded", "source", "code"),
    [
        ({"X-Forwarded-Proto": "https"}, "https://qflow.example.org", 404),
        ({"X-Forwarded-Proto": "http, https"}, "https://qflow.example.org", 404),
        ({"X-Forwarded-Proto": "https"}, "http://qflow.example.org", 403),
        ({"X-Forwarded-Proto": "https, http"}, "https://qflow.example.org", 403),
        ({}, "http://qflow.example.org", 404),
        (
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "pages.example.org"},
            "https://pages.example.org",
            404,
        ),
        ({"X-Forwarded-Host": "evil.example, pages.example.org"}, "http://pages.example.org", 404),
        ({"X-Forwarded-Host": "pages.example.org, evil.example"}, "http://pages.example.org", 421),
        ({"X-Forwarded-Host": "evil.example"}, "http://evil.example", 421),
    ],
)
def test_scheme_and_name_are_those_the_next_proxy_gives(
    engine: Engine, inbox_settings: Change, forwarded: dict[str, str], source: str, code: int
) -> None:
    inbox_settings(
        trusted_header="X-User", proxies=["10.0.0.7"], hosts=["qflow.example.org", "pages.example.org"]
    )
    app = build_app(engine, host="0.0.0.0")
    headers = {"X-User": "ada", "Origin": source, **forwarded}
    assert proxied(app, "10.0.0.7").post("/nowhere", headers=headers).status_code == code
    # From anybody else they are no headers at all.
    direct = proxied(app, "10.0.0.8").post("/nowhere", headers=headers)
    assert direct.status_code == (401 if source == "http://qflow.example.org" else 403)
