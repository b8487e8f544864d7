"""Notifications: messages of our queues, brought to people and programs outside.

- `endpoints`: where messages of a queue go, and which of them
- `sealing`: keeping addresses encrypted
- `delivery`: each message to each endpoint, with retries, a breaker and dead letters

Importing the package registers its workflow type: a notification is a job, one per message
and endpoint. Does not belong here: sending messages into queues (the core does).
"""

from qflow_dagster.quantumflow import register
from qflow_dagster.registry import WorkflowTypeName

NOTIFICATION = register(WorkflowTypeName.NOTIFICATION).name
