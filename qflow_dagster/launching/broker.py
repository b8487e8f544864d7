"""The Celery app through which runs reach workers, and its broker.

Belongs here: what launcher and worker must agree on (broker, queues, limits). The broker is PostgreSQL unless
`QFLOW_WORKERS_BROKER` names another: PGMQ's queues are tables and functions in Dagster's own database, made by
`install`; the server needs no extension. Does not belong here: launching (`launcher`), executing (`worker`).
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, cast

import psycopg
from celery import Celery
from kombu.entity import Queue
from kombu.transport import pgmq
from pgmq.install import get_embedded_install_sql
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from qflow_dagster.database import dagster_url
from qflow_dagster.database.engines import DRIVER
from qflow_dagster.database.locks import lock
from qflow_dagster.registry import Lock, RunQueue
from qflow_dagster.settings import settings

# Parts of an address that PGMQ's client takes. It drops all others, which libpq reads from variables as well.
TAKEN = {"host", "port", "dbname", "user", "password"}
# Seconds after which a message comes back that a worker received and died with. It is acknowledged before its run
# is executed, so that this is longer than any message is held.
VISIBILITY_TIMEOUT = 60
# Seconds that an idle worker waits for a notification at a time: the most that Celery allows (see `prefetch`).
POLL_INTERVAL = 2.0


def configuration() -> dict[str, Any]:
    """Return the settings of the Celery app.

    Raises:
        UsageError: an address is invalid.
    """
    limits = settings().workers
    return {
        **_broker(),
        "task_ignore_result": True,
        "task_queues": [Queue(name.value) for name in RunQueue],
        "task_default_queue": RunQueue.LONG.value,
        # Acknowledged before they are executed: a run is never executed twice, and a killed one is found by the
        # lock that it held.
        "task_acks_late": False,
        # How many messages it receives is `prefetch`'s alone.
        "worker_enable_prefetch_count_reduction": False,
        "worker_max_tasks_per_child": limits.max_runs,
        "worker_max_memory_per_child": limits.max_memory * 1024,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # What is sent to all workers at once needs a queue for each, and PGMQ's client cannot send it.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "broker_connection_retry_on_startup": True,
        "include": ["qflow_dagster.definitions"],
    }


def install() -> None:
    """Create PGMQ's tables and functions, if PostgreSQL is the broker and does not have them yet."""
    if settings().workers.broker is not None:
        return
    # Two first starts at once would both create the functions.
    with _alone() as connection:
        if connection.scalar(text("SELECT to_regclass('pgmq.meta')")) is None:
            # A script, with percent signs: the driver takes it as it is.
            cast(psycopg.Connection, connection.connection.driver_connection).execute(
                cast(LiteralString, get_embedded_install_sql())
            )


@contextmanager
def _alone() -> Iterator[Connection]:
    """Yield a connection to PGMQ's tables that no other process changes until the block ends."""
    engine = create_engine(dagster_url().set(drivername=DRIVER), poolclass=NullPool)
    with engine.begin() as connection:
        lock(connection, Lock.BROKER_TABLES)
        yield connection


def _one_at_a_time(enable_notifications: Callable[..., None]) -> Callable[..., None]:
    """Return the function for one process at a time: it drops the trigger of a queue, and creates it again.

    Of two workers that start at once, one would fail because the trigger of the other exists.
    """

    def enable(*arguments: Any, **options: Any) -> None:
        try:
            with _alone():
                enable_notifications(*arguments, **options)
        except DBAPIError as error:
            # A worker connects again after errors of the driver alone.
            raise error.orig or error from None

    return enable


pgmq.Channel._maybe_enable_notify = _one_at_a_time(pgmq.Channel._maybe_enable_notify)


def queue_of_machine(queue: str, host: str) -> str:
    """Return the name of the queue that only workers on one machine serve: letters, digits, `_`, as PGMQ takes them."""
    readable = re.sub(r"[^a-z0-9]+", "_", host.lower())[:24]
    return f"{queue}_{readable}_{hashlib.sha256(host.encode()).hexdigest()[:8]}"


def make_app() -> Celery:
    """Return a Celery app with our settings, which are read when it is first used."""
    app = Celery("qflow")
    app.add_defaults(configuration)
    return app


def _broker() -> dict[str, Any]:
    configured = settings().workers.broker
    if configured is not None:
        address = configured.get_secret_value()
        options = {"visibility_timeout": VISIBILITY_TIMEOUT} if address.startswith("redis") else {}
        return {"broker_url": address, "broker_transport_options": options}
    options = {
        "conn_string": _conninfo(),
        "init_extension": False,
        "use_notify": True,
        "notify_throttle_interval_ms": 0,
        "polling_interval": POLL_INTERVAL,
        "wait_time_seconds": 0,
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "pool_size": 2,
    }
    return {"broker_url": "pgmq://localhost", "broker_transport_options": options}


def _conninfo() -> str:
    """Return the address of Dagster's database for PGMQ's client; sets variables for what that client drops."""
    parts = conninfo_to_dict(dagster_url().render_as_string(hide_password=False))
    variables = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    for name in parts.keys() - TAKEN:
        if variable := variables.get(name):
            os.environ.setdefault(variable.decode(), str(parts[name]))
    return make_conninfo("", **{name: str(value) for name, value in parts.items() if name in TAKEN})
