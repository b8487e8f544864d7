"""Workflows that record work have states of their own."""

from alembic import op

revision = "0004_recorded"
down_revision = "0003_metrics"

RECORDED = "status IN ('pending', 'running', 'completed', 'dead')"
JOB = "status IN ('pending', 'running', 'failed', 'paused', 'completed', 'dead', 'cancelled', 'expired')"
TYPES = ("code_ingestion", "history_ingestion", "metrics_pipeline")


def upgrade() -> None:
    branches = " ".join(f"WHEN '{name}' THEN {RECORDED}" for name in TYPES)
    op.drop_constraint("ck_workflows_status", "workflows")
    op.create_check_constraint(
        op.f("ck_workflows_status"), "workflows", f"CASE type {branches} ELSE {JOB} END"
    )
