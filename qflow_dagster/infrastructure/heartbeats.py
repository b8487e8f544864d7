"""Heartbeats: signs of life that programs send, and processes of our own that watch each other.

The web process watches whether the checks run, and the checks watch the web process: when either stops, the other
reports it. Does not belong here: services that are requested (`services`).
"""

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.infrastructure.tables import health_heartbeats

WEB = "web"
# The check that the web process makes, about whether all other checks run.
CHECKS = "checks"
WATCHERS = (CHECKS,)
# Seconds between two signs of life of the web process, and without one until it counts as stopped.
BEAT, SILENT = 30.0, 150.0


def beat(connection: Connection, name: str) -> None:
    """Record a sign of life."""
    now = func.clock_timestamp()
    statement = insert(health_heartbeats).values(name=name, at=now)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"at": now}))


def stop(connection: Connection, name: str) -> None:
    """Forget a process that stops as intended."""
    connection.execute(delete(health_heartbeats).where(health_heartbeats.c.name == name))


def silence(connection: Connection, name: str) -> float | None:
    """Return the seconds since the last sign of life; None where there never was one."""
    age = func.extract("epoch", func.clock_timestamp() - health_heartbeats.c.at)
    seconds = connection.scalar(select(age).where(health_heartbeats.c.name == name))
    return None if seconds is None else float(seconds)
