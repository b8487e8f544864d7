"""Where the pages are: the server records the port it was given, and every process of the machine finds it."""

import os
import signal
import time
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import URL

from benchmarks.brokers import free_port
from qflow_dagster.cli import inbox
from qflow_dagster.cli.run import is_serving
from qflow_dagster.resources.health import code_location_loads
from qflow_dagster.settings import settings
from tests import forks


def serve(port: int) -> None:
    """Serve the pages without Dagster's and without the notifier."""
    inbox.serve("127.0.0.1", port, None, notifier=False)


def test_a_port_given_on_the_command_line_is_found_until_the_server_ends(
    database: URL, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    as_set = settings().page_address
    address = database.render_as_string(hide_password=False)
    server = forks.start(serve, port, environment={"QFLOW_HOME": str(home), "QFLOW_DATABASE_URL": address})
    try:
        deadline = time.monotonic() + 60
        while not is_serving():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert settings().page_address == f"http://127.0.0.1:{port}" != as_set
        with dg.DagsterInstance.ephemeral() as instance:
            result = code_location_loads(instance)["code_location"]
        assert f"127.0.0.1:{port}" in result.message
        os.kill(server.pid or 0, signal.SIGINT)
        server.join(30)
        assert settings().page_address == as_set
    finally:
        forks.kill_session(server)
