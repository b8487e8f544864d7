"""Metrics."""

revision = "0003_metrics"
down_revision = "0002_ingestion"


def upgrade() -> None:
    pass
