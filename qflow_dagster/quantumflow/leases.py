"""Leases of processes: who is at work on something that is no workflow, on which machine, and until when.

A process renews its lease while it lives. When it is killed, or its machine disappears, the lease runs out, and whoever
sees that goes on: no look at process ids, which mean nothing on another machine. All times are the database's.

- `keep`: say that something is being done, whoever else does so (a run with steps in several processes)
- `hold`: be the only one (the active daemon); the others wait
- `by_name`, `forget`, `forget_process`: read leases, and remove those that nobody needs any more

Does not belong here: the leases of claimed workflows (`transitions`).
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.processes import host_name
from qflow_dagster.quantumflow import arguments
from qflow_dagster.safety import logs

logger = logs.logger(__name__)

# Seconds a lease lasts, and between two renewals: four may fail.
LEASE, RENEWAL = 20.0, 5.0
# Seconds between two tries to become the only one.
STANDBY = 2.0

_KEEP = text("""
INSERT INTO leases (name, holder, host, acquired_at, expires_at)
VALUES (:name, :holder, :host, clock_timestamp(), clock_timestamp() + make_interval(secs => :seconds))
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder, host = excluded.host, expires_at = excluded.expires_at
""")
_TAKE = text("""
INSERT INTO leases AS ours (name, holder, host, acquired_at, expires_at)
VALUES (:name, :holder, :host, clock_timestamp(), clock_timestamp() + make_interval(secs => :seconds))
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder, host = excluded.host, expires_at = excluded.expires_at,
    acquired_at = CASE WHEN ours.holder = excluded.holder THEN ours.acquired_at ELSE excluded.acquired_at END
WHERE ours.holder = excluded.holder OR ours.expires_at <= clock_timestamp()
RETURNING name
""")
# A server that was down has let leases run out whose holders live: they get the time to renew them.
_READ = text("""
SELECT name, holder, host,
       extract(epoch FROM greatest(expires_at, pg_postmaster_start_time() + make_interval(secs => :lease))
                          - clock_timestamp())::float8 AS remaining
FROM leases WHERE starts_with(name, :prefix) ORDER BY name
""")


class ProcessLease(NamedTuple):
    """A lease as read: its name, who holds it on which host, and the seconds until it runs out (negative: since)."""

    name: str
    holder: str
    host: str
    remaining: float


def keep(connection: Connection, name: str, *, seconds: float | None = None) -> None:
    """Say that this process is at work on `name`, for at least `seconds` from now; others may say so as well."""
    arguments.check_text(name, "the name of a lease")
    connection.execute(_KEEP, {"name": name, "seconds": _seconds(seconds), **_holder(_this_process())})


@contextmanager
def kept(engine: Engine, name: str, *, afterwards: float | None = None) -> Iterator[None]:
    """Keep `name` while the block runs; then for `afterwards` seconds, for what may follow elsewhere, or no more."""

    def renew() -> None:
        with engine.begin() as connection:
            keep(connection, name)

    renew()
    failed = True
    try:
        with _renewing(name, renew):
            yield
        failed = False
    finally:
        with suppress(SQLAlchemyError), engine.begin() as connection:
            if afterwards is None:
                forget(connection, [name])
            elif not failed:
                keep(connection, name, seconds=afterwards)


def take(connection: Connection, name: str, holder: str, *, seconds: float | None = None) -> bool:
    """Take or renew the lease of `name` for `holder`; return whether it has it: false while it is another's."""
    arguments.check_text(name, "the name of a lease")
    arguments.check_text(holder, "the holder of a lease")
    parameters = {"name": name, "seconds": _seconds(seconds), **_holder(holder)}
    return connection.execute(_TAKE, parameters).first() is not None


@contextmanager
def hold(
    engine: Engine,
    name: str,
    *,
    on_wait: Callable[[ProcessLease], None],
    on_loss: Callable[[], None],
    stop: threading.Event | None = None,
) -> Iterator[bool]:
    """Wait until this process is the only one that holds `name`, and hold it while the block runs.

    Yields false if `stop` was set before. `on_wait` gets the other's lease, once per holder. `on_loss` is called if
    the lease cannot be renewed in time: another process may hold it by then.
    """
    stop = stop or threading.Event()
    holder, seen = f"{_this_process()} {secrets.token_hex(4)}", ""
    while not (held := _try(engine, name, holder)) and not stop.is_set():
        with engine.connect() as connection:
            others = [lease for lease in by_name(connection, name) if lease.name == name]
        if others and others[0].holder != seen:
            seen = others[0].holder
            on_wait(others[0])
        stop.wait(STANDBY)
    if not held:
        yield False
        return

    def renew() -> None:
        with engine.begin() as connection:
            if not take(connection, name, holder):
                raise LeaseTakenError

    try:
        with _renewing(name, renew, on_loss=on_loss):
            yield True
    finally:
        with suppress(SQLAlchemyError), engine.begin() as connection:
            connection.execute(
                text("DELETE FROM leases WHERE name = :name AND holder = :holder"),
                {"name": name, "holder": holder},
            )


class LeaseTakenError(Exception):
    """Another process holds the lease by now."""


def by_name(connection: Connection, prefix: str) -> list[ProcessLease]:
    """Return the leases whose names begin with `prefix`, also those that ran out."""
    rows = connection.execute(_READ, {"prefix": prefix, "lease": LEASE})
    return [ProcessLease(*row) for row in rows]


def forget(connection: Connection, names: Sequence[str]) -> None:
    """Remove leases, held or not."""
    connection.execute(text("DELETE FROM leases WHERE name = ANY(:names)"), {"names": list(names)})


def forget_process(connection: Connection, pid: int) -> None:
    """Remove the leases of a process of this machine that was killed: nobody has to wait until they run out."""
    holder = f"{host_name()} {pid}"
    statement = text("DELETE FROM leases WHERE holder = :holder OR starts_with(holder, :holder || ' ')")
    connection.execute(statement, {"holder": holder})


def _try(engine: Engine, name: str, holder: str) -> bool:
    with engine.begin() as connection:
        return take(connection, name, holder)


def _seconds(seconds: float | None) -> float:
    arguments.check_seconds(seconds, "the seconds of a lease", optional=True, positive=True)
    return LEASE if seconds is None else float(seconds)


def _this_process() -> str:
    return f"{host_name()} {os.getpid()}"


def _holder(holder: str) -> dict[str, str]:
    return {"holder": holder, "host": host_name()}


@contextmanager
def _renewing(
    name: str, renew: Callable[[], None], *, on_loss: Callable[[], None] | None = None
) -> Iterator[None]:
    """Renew a lease from a thread while the block runs; without `on_loss`, also after it has run out."""
    done = threading.Event()

    def beat() -> None:
        failures = 0
        while not done.wait(RENEWAL):
            try:
                renew()
                failures = 0
            except (LeaseTakenError, SQLAlchemyError) as error:
                failures += 1
                logger.warning("the lease of %s was not renewed: %s", name, type(error).__name__)
                if on_loss and (isinstance(error, LeaseTakenError) or failures * RENEWAL >= LEASE):
                    on_loss()
                    return

    thread = threading.Thread(target=beat, daemon=True, name=f"lease of {name}")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(RENEWAL)
