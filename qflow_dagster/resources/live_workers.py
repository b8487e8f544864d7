"""The processes that execute runs, as their leases say: on which machine, how many runs at a time, of which queues."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from qflow_dagster.processes import host_name
from qflow_dagster.quantumflow import leases

# The lease of a process that executes runs says in its name what it takes.
WORKER_LEASE = "worker "
# What the active daemon holds.
DAEMON_LEASE = "daemon"


class LiveWorker(NamedTuple):
    """A process that executes runs: on which machine, how many at a time, and the queues it takes them from."""

    host: str
    runs: int
    queues: tuple[str, ...]


def worker_lease(queues: Sequence[str], runs: int) -> str:
    """Return the name of the lease by which this process says that it executes runs."""
    return f"{WORKER_LEASE}{host_name()} {os.getpid()} {runs} {' '.join(queues)}"


def live_workers(connection: Connection) -> list[LiveWorker]:
    """Return the processes that execute runs now."""
    names = [lease.name.split() for lease in leases.by_name(connection, WORKER_LEASE) if lease.remaining > 0]
    return [LiveWorker(host, int(runs), tuple(queues)) for _, host, _, runs, *queues in names]
