"""Engines and addresses: which server, which database, how to connect.

Belongs here: everything that turns settings into a connection. The embedded server is
started the first time an address is asked for.
"""

import select
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote

import psycopg
from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, InvalidatePoolError

from qflow_dagster.database import embedded
from qflow_dagster.database.answers import AnsweredConnection
from qflow_dagster.database.parameters import replace_unstorable
from qflow_dagster.database.revisions import ensure_database, migrate
from qflow_dagster.database.sessions import DIRECT, direct_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.settings import settings

DRIVER = "postgresql+psycopg"

# A server that disappears without a word (a cut cable, a stopped machine) is noticed within a minute. Seconds, but
# the last, which is in milliseconds and for what was sent and not acknowledged; ignored for Unix sockets.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# The server's side: what a host that vanished without a word had locked is free within a minute.
SERVER_KEEPALIVES = {
    f"tcp_keepalives_{name}": KEEPALIVES[f"keepalives_{name}"] for name in ("idle", "interval", "count")
}
# Seconds that an answer may take longer than the statement.
ANSWER_GRACE = 30.0
POOLER = (
    "QFLOW_DATABASE_URL leads to a pooler of connections (PgBouncer?), which does not pass on settings of sessions: "
    "set QFLOW_DATABASE_DIRECT_URL to the address of the server itself, for LISTEN, locks and migrations"
)


def database_url() -> URL:
    """Return the address of our database, with the psycopg 3 driver; starts the embedded server if it is the one.

    Raises:
        UsageError: QFLOW_DATABASE_URL is not a PostgreSQL address.
        EmbeddedServerError: the embedded server does not start.
    """
    configured = settings().database.url
    if configured is None:
        if settings().database.direct_url is not None:
            raise UsageError("QFLOW_DATABASE_DIRECT_URL is set, QFLOW_DATABASE_URL is not: set both")
        home = settings().home
        embedded.start(home)
        return embedded.url(home)
    return _postgresql_url("QFLOW_DATABASE_URL", configured.get_secret_value())


def direct_url() -> URL:
    """Return the address of our database past a pooler of connections; that of `database_url` where there is none.

    Raises:
        UsageError: QFLOW_DATABASE_DIRECT_URL is not a PostgreSQL address.
    """
    configured = settings().database.direct_url
    if configured is None:
        return database_url()
    return _postgresql_url("QFLOW_DATABASE_DIRECT_URL", configured.get_secret_value())


def public_address() -> str:
    """Return the address of our database for people: without user, password and options. Starts nothing.

    Raises:
        UsageError: QFLOW_DATABASE_URL is not a PostgreSQL address.
        EmbeddedServerError: there is no folder for the embedded server.
    """
    configured = settings().database.url
    if configured is None:
        return f"postgresql:///{embedded.DATABASE}?host={embedded.data_folder(settings().home)}"
    url = _postgresql_url("QFLOW_DATABASE_URL", configured.get_secret_value())
    host = f"{url.host or ''}:{url.port}" if url.port else url.host or ""
    return f"postgresql://{host}/{url.database}"


def dagster_url() -> URL:
    """Return the address of Dagster's own database, as dagster-postgres wants it (plain `postgresql://`)."""
    configured = settings().dagster.url
    if configured is not None:
        url = _postgresql_url("QFLOW_DAGSTER_URL", configured.get_secret_value())
    else:
        # Dagster listens, and locks for sessions.
        ours = direct_url()
        url = ours.set(database=f"{ours.database}_dagster")
    return url.set(drivername="postgresql")


@cache
def engine() -> Engine:
    """Return the engine of this process on our database."""
    return engine_for(database_url(), direct=direct_url() if settings().database.direct_url else None)


@cache
def ready_engine() -> Engine:
    """Return the engine of this process, on a database that exists and is migrated.

    Raises:
        QflowError: the database cannot be made or migrated.
    """
    ensure_database(direct_url())
    migrate(direct_engine(engine()))
    return engine()


def engine_for(url: URL, *, direct: URL | None = None) -> Engine:
    """Return an engine with the project's limits: small pool, statement and lock timeouts, UTC.

    `direct`: the address of the server itself, where `url` is that of a pooler that gives each transaction another
    session. Then settings go with each transaction, and nothing is prepared.
    """
    limits = settings().database
    values = {
        "statement_timeout": f"{limits.statement_timeout}s",
        "lock_timeout": f"{limits.lock_timeout}s",
        "timezone": "UTC",
    }
    arguments: dict[str, Any] = {"application_name": "qflow", "connect_timeout": 10, **KEEPALIVES}
    if direct is None:
        arguments["options"] = " ".join(
            f"-c {name}={value}" for name, value in (values | SERVER_KEEPALIVES).items()
        )
    else:
        arguments["prepare_threshold"] = None
    engine = create_engine(
        url,
        pool_size=limits.pool_size,
        max_overflow=limits.pool_size,
        # Four times as fast as json.loads, which shows where hundreds of rows are claimed at once.
        json_deserializer=from_json,
        connect_args=arguments,
        execution_options={} if direct is None else {DIRECT: engine_for(direct)},
    )
    event.listen(engine, "checkout", refuse_ended)
    event.listen(engine, "do_connect", lambda _dialect, _record, args, options: _connect(args, options))
    if direct is None:
        event.listen(engine.pool, "first_connect", lambda connection, _: _refuse_pooler(connection))
    else:
        settings_of_transaction = "SELECT " + ", ".join(
            f"set_config('{name}', '{value}', true)" for name, value in values.items()
        )
        event.listen(
            engine, "begin", lambda connection: connection.exec_driver_sql(settings_of_transaction).close()
        )
    return engine


def refuse_ended(connection: Any, _record: Any, _proxy: Any) -> None:
    """Have a pool replace a connection that the server has ended, so that a restart of the server costs no error.

    A client that waits is sent nothing else. To ask the server before each use finds that out as well, and was half of
    all statements of an idle machine.
    """
    waiting = select.poll()
    if not connection.closed:
        waiting.register(connection.fileno(), select.POLLIN)
    if connection.closed or waiting.poll(0):
        raise InvalidatePoolError("the server has ended the connection")


def _connect(args: Sequence[Any], options: Mapping[str, Any]) -> AnsweredConnection:
    try:
        connection = AnsweredConnection.connect(*args, **options)
    except psycopg.OperationalError as error:
        if "unsupported startup parameter" in str(error):
            raise QflowError(POOLER) from None
        raise
    connection.answer_limit = settings().database.statement_timeout + ANSWER_GRACE
    replace_unstorable(connection)
    return connection


def _refuse_pooler(connection: psycopg.Connection) -> None:
    """Refuse a server that does not have the settings of this connection: they went to a pooler that ignored them."""
    expected = f"{settings().database.statement_timeout * 1_000}"
    row = connection.execute("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'").fetchone()
    connection.rollback()
    if row is None or row[0] != expected:
        raise QflowError(POOLER)


def _postgresql_url(variable: str, text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        # The text may hold a password: it is not repeated.
        raise UsageError(
            f"{variable} is not an address; expected postgresql://user:password@host:5432/database"
        ) from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise UsageError(f"{variable}: only PostgreSQL is supported, not {url.get_backend_name()}")
    if not url.database:
        raise UsageError(f"{variable} names no database; expected postgresql://user:password@host/database")
    # As libpq reads it: SQLAlchemy decodes the user and the password, but neither the name nor the host.
    url = url.set(drivername=DRIVER, database=unquote(url.database))
    host = unquote(url.host or "")
    if not host.startswith("/"):
        return url
    # The folder of a socket, which a host cannot be where the address is written as text again.
    port = {} if url.port is None else {"port": str(url.port)}
    return url._replace(host=None, port=None).update_query_dict({"host": host, **port})


def other_clients(connection: Connection) -> list[str]:
    """Return the names that the clients of the server gave themselves, this connection apart."""
    query = text("""
        SELECT coalesce(nullif(application_name, ''), 'a program without a name') FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY 1
    """)
    return list(connection.scalars(query))
