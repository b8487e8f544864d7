"""Databases of tests: copies of a template, and their end."""

from functools import cache

import psycopg
from sqlalchemy import URL


def copy(template: URL, name: str) -> URL:
    """Create the database `name` as a copy of `template`, to which nobody is connected."""
    _on_server(template, f'CREATE DATABASE "{name}" TEMPLATE "{template.database}" STRATEGY FILE_COPY')
    return template.set(database=name)


def drop(database: URL) -> None:
    """Drop the database if it exists, whoever is still connected.

    Not `WITH (FORCE)`: that is refused to a role without superuser's rights while the server's own
    autovacuum looks at the database, whereas a plain DROP ends the autovacuum itself.
    """
    name = database.database
    _on_server(
        database,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND usename = current_user",
        f'DROP DATABASE IF EXISTS "{name}"',
    )


def shut(database: URL) -> None:
    """Close all connections to the database, and let it take none."""
    _on_server(
        database,
        f'ALTER DATABASE "{database.database}" ALLOW_CONNECTIONS false',
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database.database}'",
    )


def admit(database: URL) -> None:
    """Let the database take connections again."""
    _on_server(database, f'ALTER DATABASE "{database.database}" ALLOW_CONNECTIONS true')


def _on_server(database: URL, *statements: str) -> None:
    server = database.set(drivername="postgresql", database="postgres")
    connection = _connection(server.render_as_string(hide_password=False))
    for statement in statements:
        connection.execute(statement)  # type: ignore[arg-type]


@cache
def _connection(server: str) -> psycopg.Connection:
    """One for all tests of this process: to connect takes as long as to drop a database."""
    return psycopg.connect(server, autocommit=True)
