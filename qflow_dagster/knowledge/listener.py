"""The listener: requests are answered the moment they are raised.

It follows the queue `knowledge_requests` by NOTIFY, catches up from its cursor after an outage, and
looks for due requests every minute in any case. Does not belong here: answering (`requests`).
"""

from collections.abc import Iterator

from sqlalchemy import Engine

from qflow_dagster.knowledge import requests
from qflow_dagster.knowledge.requests import RequestCounts
from qflow_dagster.quantumflow import acknowledge
from qflow_dagster.quantumflow import listen as listen_to
from qflow_dagster.registry import Queue

CONSUMER = "knowledge listener"
# Seconds between two looks for due requests (such as failed attempts) without a message.
POLL = 60.0


def listen(
    engine: Engine, *, worker: str, idle: float | None = None, poll: float = POLL
) -> Iterator[RequestCounts]:
    """Answer pending requests and those that come; yield each result. End after `idle` seconds without messages.

    A message only wakes the listener: it works on the rows, so a repeated message answers nothing twice.
    """
    yield requests.work(engine, worker=worker)
    while True:
        heard = False
        for message in listen_to(
            engine, Queue.KNOWLEDGE_REQUESTS, CONSUMER, poll=poll, idle=min(poll, idle or poll)
        ):
            heard = True
            if isinstance(message.payload, dict) and message.payload.get("to") == "pending":
                result = requests.work(engine, worker=worker)
                if any(result):
                    yield result
            with engine.begin() as connection:
                acknowledge(connection, CONSUMER, message)
        result = requests.work(engine, worker=worker)
        if any(result):
            yield result
        elif idle is not None and not heard:
            return
