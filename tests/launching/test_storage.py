"""Dagster's storage on the connections that a process keeps."""

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine, text

from qflow_dagster.database import ensure_database
from qflow_dagster.launching.storage import POOL_SIZE, _of_process
from tests import databases


@pytest.fixture
def dagster(database: URL) -> Iterator[Engine]:
    url = database.set(database=f"{database.database}_dagster")
    ensure_database(url)
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    engine, _ = _of_process(address, os.getpid())
    yield engine
    engine.dispose()
    databases.drop(url)


def test_a_connection_that_the_server_ended_costs_no_statement(dagster: Engine) -> None:
    number = text("SELECT pg_backend_pid()")
    with dagster.connect() as first, dagster.connect() as second:
        before = {first.scalar(number), second.scalar(number)}
    assert len(before) == 2 <= POOL_SIZE
    with dagster.connect() as connection:
        assert connection.scalar(number) in before
        ended = text("SELECT pg_terminate_backend(pid, 10000) FROM unnest(:others) AS pid")
        others = before - {connection.scalar(number)}
        assert connection.scalar(ended, {"others": list(others)})
    with dagster.connect() as first, dagster.connect() as second:
        assert not {first.scalar(number), second.scalar(number)} & others
