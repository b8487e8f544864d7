"""The server answers before Dagster's page is there, which follows when its code server answers."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest
import requests
import yaml
from sqlalchemy import URL

from benchmarks.brokers import free_port
from qflow_dagster.errors import QflowError
from qflow_dagster.launching.late_page import STOP_TIMEOUT, LatePage
from tests import databases
from tests.folders import new_home
from tests.launching import launchable

PATIENCE = 120.0


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    folder = new_home("qflow-late-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def started(*command: str, **environment: str) -> Iterator[psutil.Popen]:
    """A program while the body runs."""
    process = psutil.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.kill()
        process.communicate()


def answer(address: str, status: int | None = None) -> requests.Response:
    """What is answered to a browser, when it has that status."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(requests.ConnectionError):
            response = requests.get(address, headers={"Accept": "text/html"}, timeout=30)
            if status in (None, response.status_code):
                return response
        assert time.monotonic() < deadline, f"{address} does not answer {status}"
        time.sleep(0.02)


def test_our_pages_are_there_at_once_and_those_of_dagster_when_the_code_server_answers(
    database: URL, home: Path
) -> None:
    socket, workspace, port = home / "code", home / "workspace.yaml", str(free_port())
    server = {"grpc_server": {"socket": str(socket), "location_name": "shop"}}
    workspace.write_text(yaml.safe_dump({"load_from": [server]}))
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "QFLOW_HOME": str(home),
        "QFLOW_DATABASE_URL": database.render_as_string(hide_password=False),
    }
    serve = (sys.executable, "-m", "qflow_dagster.cli", "inbox", "-w", str(workspace), "--port", port)
    code = (
        *(sys.executable, "-m", "dagster", "api", "grpc", "--socket", str(socket)),
        *("--location-name", "shop", "-f", launchable.__file__, "-a", "definitions"),
    )
    page = f"http://127.0.0.1:{port}"
    try:
        with started(*serve, **environment) as inbox:
            assert answer(f"{page}/health/live").ok
            assert "Nothing needs attention." in answer(f"{page}/").text
            ready = answer(f"{page}/health/ready")
            assert (ready.status_code, ready.json()["message"]) == (503, "Dagster is starting")
            waiting = answer(f"{page}/dagster/runs/1")
            assert (waiting.status_code, waiting.headers["Refresh"]) == (503, "1")
            assert "<h1>Dagster is starting</h1>" in waiting.text
            deadline = time.monotonic() + PATIENCE
            while "it waits for the code server of shop" not in answer(f"{page}/dagster/").text:
                assert time.monotonic() < deadline, waiting.text

            with started(*code, **environment):
                assert answer(f"{page}/health/ready", 200).json()["code_locations"] == {"shop": True}
                assert "_next/static" in answer(f"{page}/dagster/runs/1").text

            inbox.send_signal(signal.SIGINT)
            _, errors = inbox.communicate(timeout=PATIENCE)
            assert inbox.returncode == 0, errors
    finally:
        databases.drop(database.set(database=f"{database.database}_dagster"))


def test_a_page_that_cannot_be_built_ends_the_server(caplog: pytest.LogCaptureFixture) -> None:
    def build(_report: Callable[[str], None]) -> AbstractContextManager[Any]:
        raise OSError("no such workspace")

    late = LatePage(build)
    ended = Event()

    def serve() -> None:
        with late.building(ended.set):
            assert ended.wait(PATIENCE)

    with pytest.raises(QflowError, match="could not be built: no such workspace"):
        serve()
    assert late.locations() is None
    assert "could not be built" in caplog.text


def test_a_server_that_ends_early_does_not_wait_for_its_pages() -> None:
    reached = Event()

    @contextmanager
    def build(report: Callable[[str], None]) -> Iterator[Any]:
        while True:
            report("it waits")
            reached.set()
            time.sleep(0.001)
        yield

    began = time.monotonic()
    with LatePage(build).building(pytest.fail):
        assert reached.wait(PATIENCE)
    assert time.monotonic() - began < STOP_TIMEOUT
