"""The application as a client sees it: in process, or on a real port."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from sqlalchemy import Engine
from starlette.testclient import TestClient

from qflow_dagster.approvals import arbiter
from qflow_dagster.cli.inbox import server_config
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import ErrorsSettings, InboxSettings
from qflow_dagster.web import peers
from qflow_dagster.web.app import build_app
from tests.improvement_loop import loop
from tests.ingestion.conftest import ingested, make_repository, repository
from tests.worker_processes import in_this_process

__all__ = ["in_this_process", "ingested", "loop", "make_repository", "repository"]

ME = peers.own_name()
PATCH = (
    "diff --git a/src/cart.py b/src/cart.py\n--- a/src/cart.py\n+++ b/src/cart.py\n@@ -1,3 +1,3 @@\n"
    " def total(items):\n-    return sum(i.price for i in items)\n+    return sum(i.price * i.count for i in items)\n \n"
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings(), "home", tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client in process has no socket the kernel could know: it is us. Every other is looked up as ever."""
    look_up = peers.socket_owner

    def owner(client: peers.Address, server: peers.Address) -> int | None:
        return os.geteuid() if client[0] == "testclient" else look_up(client, server)

    monkeypatch.setattr(peers, "socket_owner", owner)


@pytest.fixture
def inbox_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings of the inbox for one test."""

    def change(**values: Any) -> None:
        monkeypatch.setattr(settings(), "inbox", InboxSettings(**values))

    return change


@pytest.fixture
def error_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings of the error intake for one test."""

    def change(**values: Any) -> None:
        monkeypatch.setattr(settings(), "errors", ErrorsSettings(**values))

    return change


@pytest.fixture
def client(engine: Engine) -> TestClient:
    """A client on loopback: whoever runs the tests."""
    return TestClient(
        build_app(engine, host="127.0.0.1"), base_url="http://127.0.0.1:3001", follow_redirects=False
    )


@pytest.fixture
def ask(engine: Engine) -> Callable[..., UUID]:
    """Ask for an approval."""

    def request(content: Any = None, *, target: str = "src/cart.py", **options: Any) -> UUID:
        with engine.begin() as connection:
            return arbiter.request_approval(
                connection,
                "edit",
                target,
                {"patch": PATCH} if content is None else content,
                **{"requested_by": "bot", "reason": "counts were ignored", **options},
            )

    return request


@pytest.fixture
def served(engine: Engine) -> Iterator[str]:
    """The application on a real port; its address."""
    with serving(engine) as address:
        yield address


@contextmanager
def serving(engine: Engine, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve on a free port while the body runs, as `qflow inbox` does."""
    server = uvicorn.Server(server_config(build_app(engine, host=host), host, 0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 90
    while not server.started:
        assert time.monotonic() < end, "the server did not start"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(60)
