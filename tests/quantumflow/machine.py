"""A worker of jobs for `test_machines`: claims, does, completes, whatever becomes of its connections."""

import sys
import time
from contextlib import suppress

from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from qflow_dagster.database import engine_for
from qflow_dagster.processes import host_name
from qflow_dagster.quantumflow import LeaseLostError, claim, complete, reclaim_expired, register

JOB = "test.machines"
# Seconds.
LEASE = 3.0
register(JOB)


def main(url: str) -> None:
    """Work until killed; the effect of a job is a row, written in the transaction that completes it."""
    engine = engine_for(make_url(url))
    while True:
        with suppress(OperationalError, LeaseLostError):
            with engine.begin() as connection:
                reclaim_expired(connection)
                held = claim(connection, JOB, worker=host_name(), limit=2, lease=LEASE)
            time.sleep(0.05)
            with engine.begin() as connection:
                effect = text("INSERT INTO effects VALUES (:job, :machine)")
                for job in held:
                    connection.execute(effect, {"job": job.id, "machine": host_name()})
                complete(connection, held)


if __name__ == "__main__":
    main(sys.stdin.read())
