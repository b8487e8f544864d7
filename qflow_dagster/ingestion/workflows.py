"""The workflow types of ingestion: states of its runs, and the queue of their messages."""

from qflow_dagster.quantumflow import register
from qflow_dagster.quantumflow.recording import RECORDED
from qflow_dagster.registry import Queue, WorkflowTypeName

CODE_INGESTION = register(
    WorkflowTypeName.CODE_INGESTION, machine=RECORDED, queue=Queue.CODE_INGESTION_NOTIFICATIONS
).name
HISTORY_INGESTION = register(
    WorkflowTypeName.HISTORY_INGESTION, machine=RECORDED, queue=Queue.CODE_INGESTION_NOTIFICATIONS
).name
