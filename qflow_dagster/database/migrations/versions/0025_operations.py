"""Circuit breakers count by generation, wait longer each time, are held by hand, and count slow calls.

Health checks detect flapping; services have conditions, heartbeats and dependencies; maintenance windows.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025_operations"
down_revision = "0024_code_words"


def upgrade() -> None:
    for column in (
        sa.Column("probe_at", sa.DateTime(timezone=True)),
        sa.Column("openings", sa.Integer, nullable=False, server_default="0"),
        sa.Column("generation", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("held", sa.Boolean, nullable=False, server_default="false"),
    ):
        op.add_column("circuit_breakers", column)
    op.execute(
        "UPDATE circuit_breakers SET probe_at = opened_at + interval '60 s', openings = 1 WHERE opened_at IS NOT NULL"
    )
    op.add_column("operation_successes", sa.Column("slow", sa.Integer, nullable=False, server_default="0"))
    op.alter_column("health_states", "changes", new_column_name="recent")
    op.execute("UPDATE health_states SET recent = '[]'")
    op.add_column("health_states", sa.Column("flapping", sa.Boolean, nullable=False, server_default="false"))
    op.create_table(
        "health_heartbeats",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_health_heartbeats"),
    )
    op.create_table(
        "maintenance_windows",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("pattern", sa.Text, nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.CheckConstraint("starts_at <= ends_at", name="ck_maintenance_windows_period"),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance_windows"),
    )
    op.create_index("ix_maintenance_windows_ends_at", "maintenance_windows", ["ends_at"])
    op.alter_column("health_services", "url", nullable=True)
    for column in (
        sa.Column("heartbeat", sa.Integer),
        sa.Column("beat_at", sa.DateTime(timezone=True)),
        sa.Column("token_hash", sa.LargeBinary),
        sa.Column("conditions", postgresql.JSONB, nullable=False, server_default="{}"),
        sa.Column("depends_on", postgresql.ARRAY(sa.Text), nullable=False, server_default="{}"),
    ):
        op.add_column("health_services", column)
    op.create_unique_constraint("uq_health_services_token_hash", "health_services", ["token_hash"])
    op.create_check_constraint(
        op.f("ck_health_services_address_or_heartbeat"),
        "health_services",
        "(url IS NULL) <> (heartbeat IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_health_services_heartbeat"), "health_services", "heartbeat BETWEEN 1 AND 31536000"
    )
    op.create_table(
        "duration_histograms",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("counts", postgresql.ARRAY(sa.BigInteger), nullable=False),
        sa.Column("sum", sa.Double, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name="pk_duration_histograms"),
    )
