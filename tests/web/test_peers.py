"""The owner of a connection within the machine, told by the kernel, on real sockets and real processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
import requests
from sqlalchemy import Engine

from qflow_dagster.web import peers
from tests.web.conftest import ME, serving
from tests.web.test_inbox import form_of, status

pytestmark = pytest.mark.skipif(not peers.OWNERS_AVAILABLE, reason="the kernel tells on Linux alone")
as_another = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
STRANGER = 4242


@contextmanager
def connected(host: str, target: str) -> Iterator[tuple[socket.socket, peers.Address, peers.Address]]:
    """A client, and both addresses as the server has them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        with socket.create_connection((target, server.getsockname()[1])) as client:
            accepted, address = server.accept()
            with accepted:
                yield client, address[:2], accepted.getsockname()[:2]


@pytest.mark.parametrize(
    ("host", "target"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")]
)
def test_the_owner_of_a_connection_is_found(host: str, target: str) -> None:
    with connected(host, target) as (client, address, server):
        assert peers.socket_owner(address, server) == os.geteuid()
        client.close()
        # The kernel's table says user 0 of what belongs to nobody any more.
        assert peers.socket_owner(address, server) is None


def test_what_is_no_connection_of_this_machine_has_no_owner() -> None:
    assert peers.socket_owner(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
    assert peers.socket_owner(("198.51.100.1", 1), ("127.0.0.1", 2)) is None
    assert peers.socket_owner(("somewhere", 1), ("127.0.0.1", 2)) is None


def run_as(user: int, program: str, *arguments: str) -> str:
    """What a small Python program prints, run by another user of this system."""
    command = [
        "setpriv",
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        sys.executable,
        "-I",
        "-S",
        "-c",
    ]
    done = subprocess.run(
        [*command, program, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


GET = """
import sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[1], headers=dict(h.split("=") for h in sys.argv[2:]))
try: print(urllib.request.urlopen(request, timeout=30).status)
except urllib.error.HTTPError as error: print(error.code)
"""
# Sends all it has to say and is gone before anybody asks who it was.
HIT_AND_RUN = """
import socket, sys
host, port = sys.argv[1].removeprefix("http://").split(":")
body = sys.argv[3]
request = f"POST {sys.argv[2]} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nContent-Type: application/x-www-form-urlencoded\\r\\n"
request += f"Content-Length: {len(body)}\\r\\n\\r\\n{body}"
client = socket.create_connection((host, int(port)))
client.sendall(request.encode())
client.close()
"""


@as_another
def test_another_users_process_does_not_come_in(served: str) -> None:
    assert run_as(0, GET, f"{served}/approvals") == "200"
    assert run_as(STRANGER, GET, f"{served}/approvals") == "401"
    assert run_as(STRANGER, GET, f"{served}/metrics") == "200"


@as_another
def test_another_user_decides_nothing_even_with_a_form_of_ours(
    served: str, engine: Engine, ask: Callable[..., UUID]
) -> None:
    id_ = ask()
    form = form_of(requests.get(f"{served}/approvals/{id_}", timeout=30).text)
    body = "&".join(f"{name}={value}" for name, value in {**form, "decision": "deny"}.items())
    for _ in range(10):
        run_as(STRANGER, HIT_AND_RUN, served, f"/approvals/{id_}", body)
    ours = requests.post(
        f"{served}/approvals/{id_}", {**form, "decision": "deny"}, timeout=30, allow_redirects=False
    )
    assert (ours.status_code, status(engine, id_)) == (303, "denied"), "nobody had decided it before us"


@as_another
def test_a_proxy_on_loopback_runs_as_one_of_those_named(
    engine: Engine, inbox_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    inbox_settings(trusted_header="Remote-User", proxies=["127.0.0.1"], proxy_users=["nobody"])
    nobody = peers.pwd.getpwnam("nobody").pw_uid
    with serving(engine) as address:
        for user, code in ((0, "200"), (nobody, "200"), (STRANGER, "401")):
            assert run_as(user, GET, f"{address}/approvals", "Remote-User=ada") == code, user
        assert run_as(0, GET, f"{address}/approvals") == "401"


@pytest.mark.parametrize("allowed", ["*", "127.0.0.1", None])
def test_no_header_and_no_variable_makes_a_peer_a_proxy(
    engine: Engine, inbox_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch, allowed: str | None
) -> None:
    for variable in ("FORWARDED_ALLOW_IPS", "UVICORN_FORWARDED_ALLOW_IPS"):
        monkeypatch.setenv(variable, allowed) if allowed else monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("UVICORN_PROXY_HEADERS", "true")
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    inbox_settings(trusted_header="Remote-User", proxies=["10.9.8.7"])
    with serving(engine) as address:
        claims = {"X-Forwarded-For": "10.9.8.7", "Remote-User": "admin"}
        assert requests.get(f"{address}/approvals", headers=claims, timeout=30).status_code == 401


def test_an_honest_proxy_on_loopback_works(
    engine: Engine, inbox_settings: Callable[..., None], ask: Callable[..., UUID]
) -> None:
    inbox_settings(trusted_header="Remote-User", proxies=["127.0.0.1"], hosts=["qflow.example.org"])
    id_ = ask()
    with serving(engine) as address:
        headers = {"Remote-User": "ada", "Host": "qflow.example.org", "X-Forwarded-Proto": "https"}
        page = requests.get(f"{address}/approvals/{id_}", headers=headers, timeout=30)
        assert "you are <b>ada</b>" in page.text
        for source in ("http://qflow.example.org", "https://qflow.example.org"):
            answer = requests.post(
                f"{address}/approvals/{id_}",
                {**form_of(page.text), "decision": "deny"},
                headers={**headers, "Origin": source},
                timeout=30,
                allow_redirects=False,
            )
            assert answer.status_code == (303 if source.startswith("https") else 403)
    assert (status(engine, id_), ME != "ada") == ("denied", True)
