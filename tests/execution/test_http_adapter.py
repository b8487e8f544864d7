"""The http adapter, with two real servers: what a task gave for one does not arrive at the other."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from qflow_dagster.execution import task_adapters
from qflow_dagster.execution.task_adapters import Call, TaskFailedError
from qflow_dagster.execution.task_policy import PolicyViolationError, check
from qflow_dagster.settings import settings
from tests.http_server import LocalServer, local_server

SECRETS = {"Authorization": "Bearer SECRET", "X-Api-Key": "K", "Cookie": "c=1"}


@pytest.fixture
def first() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


@pytest.fixture
def second() -> Iterator[LocalServer]:
    with local_server() as running:
        running.body = b"ok"
        yield running


@pytest.fixture
def ask(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Do a task of the http adapter, where there are credentials that nobody asked to send."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login op password NETRC\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    def asked(role: str = "admin", timeout: float | None = None, **arguments: Any) -> Any:
        return task_adapters.http(
            Call(
                id=uuid.uuid4(),
                graph_id=uuid.uuid4(),
                name="n",
                title="t",
                role=role,
                adapter="http",
                arguments=arguments,
                inputs={},
                timeout=timeout,
                attempt=1,
                engine=engine,
                pool=None,  # type: ignore[arg-type]
            )
        )

    return asked


def test_a_request_carries_what_the_task_gave(first: LocalServer, ask: Callable[..., Any]) -> None:
    first.body, first.headers = b'{"a": [1]}', {"Content-Type": "application/json"}
    assert ask(url=first.url)["value"] == {"a": [1]}
    ask(url=first.url, headers=SECRETS, method="POST", body={"b": 2})
    plain, given = first.received
    assert "Authorization" not in plain.headers
    assert given.headers.items() >= {**SECRETS, "Content-Type": "application/json"}.items()
    assert (given.method, given.body) == ("POST", b'{"b": 2}')


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_origin_gets_neither_credentials_nor_body(
    first: LocalServer, second: LocalServer, ask: Callable[..., Any], status: int, method: str
) -> None:
    first.status, first.headers = status, {"Location": f"{second.url}/x"}
    body = {"body": {"password": 1}} if method == "POST" else {}
    assert (
        ask(url=first.url, method=method, headers={**SECRETS, "Accept": "text/html"}, **body)["body"] == "ok"
    )
    assert first.received[0].headers.items() >= SECRETS.items()
    [got] = second.received
    assert (got.method, got.body, got.headers["Accept"]) == ("GET", b"", "text/html")
    assert not {*SECRETS, "Content-Type"} & set(got.headers)


@pytest.mark.parametrize(("status", "method"), [(307, "POST"), (308, "PUT"), (302, "DELETE")])
def test_what_would_be_done_again_elsewhere_is_not(
    first: LocalServer, second: LocalServer, ask: Callable[..., Any], status: int, method: str
) -> None:
    first.status, first.headers = status, {"Location": second.url}
    with pytest.raises(TaskFailedError, match="to another origin is not followed"):
        ask(url=first.url, method=method, body={"password": 1})
    assert not second.received


def test_a_redirect_is_held_to_the_role_and_to_three(
    first: LocalServer, second: LocalServer, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_EXECUTION_ROLES", '{"researcher": {"hosts": ["127.0.0.1"]}}')
    settings.cache_clear()
    try:
        first.status, first.headers = 302, {"Location": second.url.replace("127.0.0.1", "localhost")}
        with pytest.raises(PolicyViolationError, match="may not request localhost"):
            ask(role="researcher", url=first.url)
        for location in ("file:///etc/passwd", "http://user:pw@127.0.0.1/"):
            first.headers = {"Location": location}
            with pytest.raises(PolicyViolationError):
                ask(role="researcher", url=first.url)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert not second.received
    first.received.clear()
    first.headers = {"Location": "/again"}
    with pytest.raises(TaskFailedError, match="more than 3 redirects"):
        ask(url=first.url)
    assert len(first.received) == 4


def test_a_server_that_sends_a_byte_now_and_then_does_not_hold_the_task(
    first: LocalServer, ask: Callable[..., Any]
) -> None:
    first.drip = 0.1
    with pytest.raises(TaskFailedError, match="did not answer in 1 s"):
        ask(url=first.url, timeout=1.0)


@pytest.mark.parametrize("header", ["Host", "host", "Transfer-Encoding", "Content-Length", "Connection"])
def test_a_task_does_not_set_what_the_request_says_of_itself(header: str) -> None:
    arguments = {"url": "https://docs.rs/", "headers": {header: "internal.example"}}
    with pytest.raises(PolicyViolationError, match="cannot be set by a task"):
        check("researcher", "http", arguments, None, filled=True)


@pytest.mark.parametrize(
    "url", ["https://docs.rs\n/", "https://do\tcs.rs/", "https://docs.rs\\.evil.com/", " https://docs.rs/"]
)
def test_an_address_that_is_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(PolicyViolationError):
        check("researcher", "http", {"url": url}, None, filled=True)
