"""Attempts to have us carry credentials, files or commands to where nobody asked."""

import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

from qflow_dagster.execution import task_adapters
from qflow_dagster.execution.task_adapters import Call
from tests.security import ground
from tests.security.corpus import attempt

SECRET = "tok-4f9c2e"


@contextmanager
def two_servers(
    status: int, location: str | None = None
) -> Iterator[tuple[str, str, list[tuple[str, str, dict[str, str], bytes]]]]:
    """The first redirects to the second; (address, address, what came to the second)."""
    received: list[tuple[str, str, dict[str, str], bytes]] = []
    addresses: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/first":
                self.send_response(status)
                self.send_header("Location", location or f"{addresses[1]}/second")
                self.end_headers()
                return
            received.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_CONNECT = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    addresses += [f"http://127.0.0.1:{server.server_port}" for server in servers]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield addresses[0], addresses[1], received
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def call(arguments: dict[str, Any]) -> Any:
    """Do one task of the http adapter."""
    return task_adapters.http(
        Call(
            id=uuid4(),
            graph_id=uuid4(),
            name="n",
            title="t",
            role="admin",
            adapter="http",
            arguments=arguments,
            inputs={},
            timeout=10,
            attempt=1,
            engine=ground.engine(),
            pool=None,
        )
    )


CREDENTIALS = (
    "Authorization",
    "Cookie",
    "X-Api-Key",
    "Proxy-Authorization",
    "X-Auth-Token",
    "PRIVATE-TOKEN",
    "Www-Authenticate",
)


@attempt(
    "redirects", *(f"{name} by {status}" for name in CREDENTIALS for status in (301, 302, 303, 307, 308))
)
def header_carried_on(_folder: Path, name: str) -> None:
    header, status = name.split(" by ")
    with two_servers(int(status)) as (first, _second, received), suppress(Exception):
        call({"url": f"{first}/first", "headers": {header: SECRET}})
    assert SECRET not in str(received), received


@attempt("redirects", "301", "302", "303", "307", "308")
def body_carried_on(_folder: Path, name: str) -> None:
    with two_servers(int(name)) as (first, _second, received), suppress(Exception):
        call({"url": f"{first}/first", "method": "POST", "body": {"secret": SECRET}})
    assert SECRET not in str(received), received
    assert name in ("307", "308") or all(method == "GET" for method, *_ in received)


@attempt(
    "redirects",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1/",
    "//",
    "javascript:1",
    "http://[",
    "http://user:pw@127.0.0.1:1/",
    "\\\\host\\share",
)
def redirect_to_no_web_address(_folder: Path, name: str) -> None:
    with two_servers(302, name) as (first, _second, received):
        call({"url": f"{first}/first"})
    raise AssertionError(received)


@attempt(
    "credentials of the machine",
    "netrc",
    "netrc over the task's own",
    "http_proxy",
    "all_proxy",
    "bundle",
    "cookies",
)
def environment(folder: Path, name: str) -> None:
    netrc = folder / "netrc"
    netrc.write_text(
        f"machine 127.0.0.1 login operator password {SECRET}\ndefault login o password {SECRET}\n"
    )
    netrc.chmod(0o600)
    with two_servers(200) as (first, second, received):
        variables = {
            "netrc": {"NETRC": str(netrc)},
            "netrc over the task's own": {"NETRC": str(netrc)},
            "http_proxy": {"http_proxy": second, "HTTP_PROXY": second},
            "all_proxy": {"all_proxy": second, "ALL_PROXY": second},
            "bundle": {"REQUESTS_CA_BUNDLE": "/nowhere", "CURL_CA_BUNDLE": "/nowhere"},
            "cookies": {},
        }[name]
        headers = {"Authorization": "Bearer mine"} if "own" in name else {}
        with mock.patch.dict(os.environ, variables):
            call({"url": f"{first}/direct", "headers": headers})
    [(_, path, seen, _)] = received
    assert path == "/direct", "it went by way of a proxy that nobody asked for"
    assert SECRET not in str(seen)
    assert seen.get("authorization") == headers.get("Authorization")
