"""Notifications: quiet hours, digests, and repeats in one message."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026_notifications"
down_revision = "0025_operations"


def upgrade() -> None:
    op.add_column(
        "notification_endpoints",
        sa.Column("options", postgresql.JSONB, nullable=False, server_default="{}"),
    )
    endpoint = "notification_endpoints.id"
    op.create_table(
        "notification_waiting",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("link", sa.Text),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notification_waiting"),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            [endpoint],
            name="fk_notification_waiting_endpoint_id_notification_endpoints",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_notification_waiting_due_at", "notification_waiting", ["due_at"])
    op.create_table(
        "notification_recent",
        sa.Column("endpoint_id", sa.Uuid, nullable=False),
        sa.Column("group_key", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("endpoint_id", "group_key", name="pk_notification_recent"),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            [endpoint],
            name="fk_notification_recent_endpoint_id_notification_endpoints",
            ondelete="CASCADE",
        ),
    )
