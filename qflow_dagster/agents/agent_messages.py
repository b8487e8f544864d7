"""Messages between agents: each agent has a queue of its own, and one common queue announces every message.

Does not belong here: assignments, which have states; a message has none.
"""

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from qflow_dagster.agents import coordination
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import send_with_notify, uuid7
from qflow_dagster.registry import Queue


def queue_of(agent: str) -> str:
    """Return the queue an agent listens to."""
    # Names of queues are ASCII, those of agents need not be.
    return (
        f"agent.{agent}" if agent.isascii() else f"agent-u.{hashlib.sha256(agent.encode()).hexdigest()[:40]}"
    )


def send(connection: Connection, sender: str, receiver: str | None, kind: str, payload: Any) -> UUID:
    """Send a message from one agent to another, or (receiver None) to all others that are not offline; return its id.

    Raises:
        UsageError: the sender or the receiver is unknown, or they are the same; nothing was sent.
    """
    by_name = {agent.name: agent for agent in coordination.agents(connection)}
    for name in (sender, receiver):
        if name is not None and name not in by_name:
            raise UsageError(f"there is no agent {name!r}; see `qflow agent list`")
    if sender == receiver:
        raise UsageError(f"{sender!r} would send a message to itself")
    others = [name for name, agent in by_name.items() if name != sender and agent.availability != "offline"]
    id_ = uuid7()
    message = {"message_id": str(id_), "from": sender, "to": receiver, "kind": kind, "payload": payload}
    for name in [receiver] if receiver is not None else others:
        send_with_notify(connection, queue_of(name), [message])
    send_with_notify(
        connection,
        Queue.AGENT_COORDINATION_NOTIFICATIONS,
        [{name: message[name] for name in ("message_id", "from", "to", "kind")}],
    )
    return id_
