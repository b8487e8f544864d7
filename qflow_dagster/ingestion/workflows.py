"""The workflow types of ingestion: how its runs are recorded, and on which queue they are told."""

from qflow_dagster.quantumflow import register
from qflow_dagster.quantumflow.recording import RECORDED

CODE_INGESTION = register("code_ingestion", machine=RECORDED, queue="code_ingestion_notifications").name
HISTORY_INGESTION = register("history_ingestion", machine=RECORDED, queue="code_ingestion_notifications").name
