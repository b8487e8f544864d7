"""The listener: requests are answered the moment they are raised.

It follows the queue `knowledge_requests` by NOTIFY, catches up from its cursor after an outage, and
looks every minute whatever it heard. Does not belong here: answering (`requests`).
"""

from collections.abc import Iterator

from sqlalchemy import Engine

from qflow_dagster.knowledge import requests
from qflow_dagster.knowledge.requests import Done
from qflow_dagster.quantumflow import acknowledge
from qflow_dagster.quantumflow import listen as listen_to
from qflow_dagster.registry import Queue

CONSUMER = "knowledge listener"
# Seconds after which what is due (a failed attempt's time has come) is looked for without a message.
POLL = 60.0


def listen(engine: Engine, *, worker: str, idle: float | None = None, poll: float = POLL) -> Iterator[Done]:
    """Answer what is waiting and what comes; yields what each look did. Ends after `idle` seconds of silence.

    A message only wakes: the rows are what is worked on, so a message seen twice answers nothing twice.
    """
    yield requests.work(engine, worker=worker)
    while True:
        heard = False
        for message in listen_to(
            engine, Queue.KNOWLEDGE_REQUESTS, CONSUMER, poll=poll, idle=min(poll, idle or poll)
        ):
            heard = True
            if isinstance(message.payload, dict) and message.payload.get("to") == "pending":
                done = requests.work(engine, worker=worker)
                if any(done):
                    yield done
            with engine.begin() as connection:
                acknowledge(connection, CONSUMER, message)
        done = requests.work(engine, worker=worker)
        if any(done):
            yield done
        elif idle is not None and not heard:
            return
