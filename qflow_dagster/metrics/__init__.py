"""Metrics of ingested code: a module per asset, with ``compute_<name>(engine, snapshot_id)``.

Belongs here: complexity, change history, duplication, coupling, hotspots. Formulae are pure
functions in ``formulae`` with their sources; SQL for reading is in ``store`` and ``queries``.
Reads the tables of ingestion, writes its own (``tables``). Does not belong here: Dagster.
"""

from qflow_dagster.quantumflow import register
from qflow_dagster.quantumflow.recording import RECORDED
from qflow_dagster.registry import Queue, WorkflowTypeName

METRICS_PIPELINE = register(
    WorkflowTypeName.METRICS_PIPELINE, machine=RECORDED, queue=Queue.METRICS_NOTIFICATIONS
).name
# Incremented when a change of the code changes the metrics of an unchanged snapshot.
VERSION = 3
