"""Requests to other machines: what arrives there, at the first one and at the one it redirects to."""

import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure import language_model, outgoing, service_probes
from qflow_dagster.infrastructure.outgoing import (
    Answer,
    NoResponseError,
    RedirectRefusedError,
    Request,
    ResponseTimeoutError,
    ResponseTooLargeError,
)
from qflow_dagster.notifications import apprise_worker
from qflow_dagster.settings import settings
from tests.http_server import LocalServer, local_server


@pytest.fixture
def remote() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for every host, and a proxy that is not there, where libraries look for them."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login op password NETRC\ndefault login op password NETRC\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_ORG_ID", "ORGANISATION")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "PROJECT")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Custom: CUSTOM\nAuthorization: CUSTOM")


def test_what_was_given_is_sent_and_nothing_else(remote: LocalServer) -> None:
    remote.body, remote.headers = b'{"a": 1}', {"Set-Cookie": "c=1", "Content-Type": "application/json"}
    for _ in range(2):
        answer = outgoing.fetch(
            Request("PUT", f"{remote.url}/x", {"Authorization": "mine"}, b"{}"), seconds=10, max_bytes=100
        )
    assert (answer.status, answer.text) == (200, '{"a": 1}')
    got = remote.received[1]
    assert (got.method, got.path, got.body, got.headers["Authorization"]) == ("PUT", "/x", b"{}", "mine")
    assert not {"Cookie", "Proxy-Authorization"} & set(got.headers)


def test_services_webhooks_and_apprise_send_no_credentials_either(
    remote: LocalServer, engine: Engine
) -> None:
    service = {"url": remote.url, "timeout_ms": 5_000, "expected_status": 200, "conditions": {}}
    assert service_probes.probe(engine, service).status == "healthy"
    host = remote.url.removeprefix("http://")
    # In this process: what the worker does to its environment the fixture takes back.
    assert apprise_worker.notify(None, [(f"json://{host}/a", "title", "body")])
    assert [got.path for got in remote.received] == ["/", "/a"]
    assert not any("Authorization" in got.headers for got in remote.received)


def test_a_model_gets_the_question_and_the_key(remote: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.body = b'{"choices": [{"message": {"role": "assistant", "content": "yes"}}]}'
    remote.headers = {"Content-Type": "application/json"}
    for name, value in {"URL": f"{remote.url}/v1", "NAME": "m", "KEY": "KEY"}.items():
        monkeypatch.setenv(f"QFLOW_MODEL_{name}", value)
    settings.cache_clear()
    try:
        assert language_model.complete("be brief", "is it?")[0] == "yes"
        [got] = remote.received
        assert {n.lower(): v for n, v in got.headers.items()}["authorization"] == "Bearer KEY"
        assert {name.lower() for name in got.headers} <= language_model.SENT | {"authorization"}
        with local_server() as other:
            remote.status, remote.headers = 307, {"Location": f"{other.url}/v1/chat/completions"}
            with pytest.raises(QflowError, match="the model's endpoint failed"):
                language_model.complete("be brief", "is it?")
            assert not other.received
    finally:
        monkeypatch.undo()
        settings.cache_clear()


@pytest.mark.parametrize("how", ["delay", "drip"])
def test_the_limit_is_of_the_whole(remote: LocalServer, how: str) -> None:
    setattr(remote, how, 30.0 if how == "delay" else 0.1)
    started = time.monotonic()
    with pytest.raises(ResponseTimeoutError):
        outgoing.fetch(Request("GET", remote.url), seconds=0.8, max_bytes=10)
    assert time.monotonic() - started < 10


def test_a_body_is_read_as_far_as_asked(remote: LocalServer) -> None:
    remote.body = b"x" * 101
    assert outgoing.fetch(Request("GET", remote.url), seconds=10).body == b""
    assert len(outgoing.fetch(Request("GET", remote.url), seconds=10, max_bytes=101).body) == 101
    with pytest.raises(ResponseTooLargeError):
        outgoing.fetch(Request("GET", remote.url), seconds=10, max_bytes=100)


def test_a_body_that_unpacks_to_more_is_refused(remote: LocalServer) -> None:
    remote.headers = {"Content-Encoding": "gzip"}
    remote.body = gzip.compress(b"a" * 50)
    assert outgoing.fetch(Request("GET", remote.url), seconds=10, max_bytes=100).body == b"a" * 50
    remote.body = gzip.compress(b"\0" * 10_000_000)
    with pytest.raises(ResponseTooLargeError):
        outgoing.fetch(Request("GET", remote.url), seconds=10, max_bytes=100_000)


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "http://127.0.0.1:1/"),
        Request("GET", "http://"),
        Request("GET", "http://[::1"),
        Request("GET", "x"),
        Request("GET", "http://127.0.0.1:99999/"),
        Request("GET", "http://127.0.0.1/", {"a": "é\n"}),
        Request("GET", "http://127.0.0.1/", {"a": "x\r\nHost: y"}),
        Request("GET", "http://docs.rs\\@127.0.0.1/"),
    ],
)
def test_what_cannot_be_asked_is_one_error(request_: Request) -> None:
    with pytest.raises(NoResponseError) as error:
        outgoing.fetch(request_, seconds=5)
    assert "127.0.0.1" not in str(error.value)


SECRETS = {
    "Authorization": "a",
    "X-Api-Key": "k",
    "Cookie": "c",
    "X-Anything": "x",
    "Content-Type": "text/plain",
}
HERE = "https://a.example/x"


@pytest.mark.parametrize("status", outgoing.REDIRECTS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("location", "same"),
    [
        ("/y", True),
        ("https://a.example:443/y", True),
        ("https://A.EXAMPLE/y", True),
        ("https://b.example/y", False),
        ("//b.example/y", False),
        ("https://a.example:444/y", False),
        ("https://a.example./y", False),
    ],
)
def test_a_redirect_carries_on_what_the_standard_lets_it(
    status: int, method: str, location: str, same: bool
) -> None:
    body = b"secret" if method in ("POST", "PUT") else b""
    request = Request(method, HERE, {**SECRETS, "Accept": "text/html"}, body)
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    answer = Answer(status, {"location": location}, b"")
    if not same and not becomes_get and method not in ("GET", "HEAD"):
        with pytest.raises(RedirectRefusedError, match="to another origin is not followed"):
            outgoing.redirected(request, answer)
        return
    new = outgoing.redirected(request, answer)
    assert new.method == ("GET" if becomes_get else method)
    assert new.body == (b"" if becomes_get else body)
    if same:
        assert set(new.headers) == set(request.headers) - ({"Content-Type"} if becomes_get else set())
    else:
        assert dict(new.headers) == {"Accept": "text/html"}


@pytest.mark.parametrize(
    "location",
    ["http://a.example/x", "ftp://a.example/x", "file:///etc/passwd", "http://[", "//a.example:x/"],
)
def test_a_redirect_from_https_to_less_or_to_nothing_is_refused(location: str) -> None:
    with pytest.raises(RedirectRefusedError, match=r"from https|invalid URL"):
        outgoing.redirected(Request("GET", HERE), Answer(302, {"location": location}, b""))
