"""The trace of a success, so that a call that reports an error as well counts once."""

import sqlalchemy as sa
from alembic import op

revision = "0042_traces_of_calls"
down_revision = "0041_session_states"


def upgrade() -> None:
    op.add_column("operation_successes", sa.Column("trace", sa.Text()))
    op.add_column(
        "operation_successes", sa.Column("failed", sa.Integer(), nullable=False, server_default="0")
    )
    op.create_index(
        "ix_operation_successes_trace",
        "operation_successes",
        ["trace"],
        postgresql_where=sa.text("trace IS NOT NULL"),
    )
    op.create_index(
        "ix_error_occurrences_trace",
        "error_occurrences",
        ["correlation_id"],
        postgresql_where=sa.text("source IN ('sentry', 'otlp')"),
    )
    op.drop_constraint(op.f("ck_operation_successes_counted"), "operation_successes")
    op.create_check_constraint(
        op.f("ck_operation_successes_counted"), "operation_successes", "operation <> '' AND count >= 0"
    )
