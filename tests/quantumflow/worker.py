"""What the concurrency tests run in processes of their own: `worker.py COMMAND DATABASE-URL ARGUMENTS`."""

import sys
import time

from sqlalchemy import make_url

from qflow_dagster.database import engine_for
from qflow_dagster.quantumflow import (
    acknowledge,
    claim,
    complete,
    create_workflow,
    fail,
    heartbeat,
    listen,
    reclaim_expired,
    register,
    retry,
)

register("test.job")
register("test.announced", queue="announcements")


def drain(engine, name: str, batch: str) -> None:
    """Claim and complete until nothing is left; print each id once it is committed."""
    while True:
        with engine.begin() as connection:
            held = claim(connection, "test.job", worker=name, limit=int(batch))
            complete(connection, held, [name] * len(held))
        if not held:
            return
        print("\n".join(str(w.id) for w in held), flush=True)


def hold(engine, name: str, seconds: str) -> None:
    """Claim everything for some seconds, say so, and work for ever."""
    with engine.begin() as connection:
        held = claim(connection, "test.job", worker=name, limit=100, lease=float(seconds))
    print(len(held), flush=True)
    while True:
        time.sleep(1)


def struggle(engine, name: str, seconds: str) -> None:
    """All operations at once, some of them failing, until the time is over."""
    end = time.monotonic() + float(seconds)
    number = 0
    while time.monotonic() < end:
        number += 1
        with engine.begin() as connection:
            create_workflow(connection, "test.job", actor=name, max_attempts=2)
            held = claim(connection, "test.job", worker=name, limit=3)
        with engine.begin() as connection:
            heartbeat(connection, held)
            if number % 3 == 0 and held:
                if "dead" in fail(connection, held, ["no"] * len(held), retry=number % 2 == 0):
                    retry(connection, [held[0].id], actor=name)
            else:
                complete(connection, held)
            reclaim_expired(connection)


def follow(engine, name: str, seconds: str, per_acknowledgement: str) -> None:
    """Print each announcement as it comes; acknowledge every few of them."""
    for number, message in enumerate(listen(engine, "announcements", name, idle=float(seconds), poll=1), 1):
        print(message.payload["workflow_id"], flush=True)
        if number % int(per_acknowledgement) == 0:
            with engine.begin() as connection:
                acknowledge(connection, name, message)
            print(f"acknowledged {message.payload['workflow_id']}", flush=True)


if __name__ == "__main__":
    command, url, *arguments = sys.argv[1:]
    globals()[command](engine_for(make_url(url)), *arguments)
