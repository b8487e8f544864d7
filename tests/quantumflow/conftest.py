"""What the tests of the core share: a connection, a kind of job, and a look at everything stored."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from qflow_dagster.quantumflow import Fairness, register

# Names of the tests' types begin with "test.": that tells them from the project's own.
register("test.job")
register("test.announced", queue="announcements")
register("test.in_turns", fairness=Fairness(rate=1))

TABLES = (
    "workflows",
    "workflow_dependencies",
    "workflow_events",
    "seals",
    "sealed_heads",
    "messages",
    "subscriptions",
    "fairness_turns",
)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection whose transaction is rolled back after the test."""
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def stored() -> Callable[[Connection], dict[str, list[Any]]]:
    """Every row of every table of the core, in a form that compares."""

    def read(connection: Connection) -> dict[str, list[Any]]:
        return {
            table: sorted(connection.scalars(text(f"SELECT {table}::text FROM {table}"))) for table in TABLES
        }

    return read


@pytest.fixture
def let_leases_run_out() -> Callable[[Connection], None]:
    """Move the end of every lease into the past, instead of waiting for it."""
    return lambda connection: connection.execute(
        text(
            "UPDATE workflows SET lease_expires_at = statement_timestamp() - interval '1 s' "
            "WHERE lease_expires_at IS NOT NULL"
        )
    )


@pytest.fixture
def let_delays_pass() -> Callable[[Connection], None]:
    """Make everything that waits for a time available now."""
    return lambda connection: connection.execute(
        text("UPDATE workflows SET available_at = statement_timestamp() WHERE available_at > now()")
    )


def switch_triggers(connection: Connection, verb: str) -> None:
    """`DISABLE` or `ENABLE` our triggers on the tables of the core, within the transaction."""
    for table in (
        "workflow_dependencies",
        "workflow_events",
        "workflows",
        "messages",
        "seals",
        "sealed_heads",
    ):
        connection.execute(text(f"ALTER TABLE {table} {verb} TRIGGER USER"))
