"""What the concurrency tests run in processes of their own, which say on a pipe what they did."""

import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from sqlalchemy import Engine, make_url

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


def drain(engine: Engine, say: Connection, name: str, batch: int) -> None:
    """Claim and complete until nothing is left; say each id once it is committed."""
    while True:
        with engine.begin() as connection:
            held = claim(connection, "test.job", worker=name, limit=batch)
            complete(connection, held, [name] * len(held))
        if not held:
            return
        for workflow in held:
            say.send(str(workflow.id))


def hold(engine: Engine, say: Connection, name: str, seconds: float) -> None:
    """Claim everything for some seconds, say so, and work for ever."""
    with engine.begin() as connection:
        held = claim(connection, "test.job", worker=name, limit=100, lease=seconds)
    say.send(len(held))
    while True:
        time.sleep(1)


def struggle(engine: Engine, say: Connection, name: str, seconds: float) -> None:
    """All operations at once, some of them failing, until the time is over."""
    end = time.monotonic() + seconds
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


def follow(engine: Engine, say: Connection, name: str, seconds: float, per_acknowledgement: int) -> None:
    """Say each announcement as it comes; acknowledge every few of them."""
    for number, message in enumerate(listen(engine, "announcements", name, idle=seconds, poll=1), 1):
        say.send(message.payload["workflow_id"])
        if number % per_acknowledgement == 0:
            with engine.begin() as connection:
                acknowledge(connection, name, message)
            say.send(f"acknowledged {message.payload['workflow_id']}")


def work(url: str, command: Callable[..., None], say: Connection, *arguments: object) -> None:
    """Do one of the above on the database at `url`."""
    command(engine_for(make_url(url)), say, *arguments)
