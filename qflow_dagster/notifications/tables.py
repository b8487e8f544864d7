"""Where notifications go, and what waits to be delivered in one message."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from qflow_dagster.database.schema import metadata, timestamp_column

notification_endpoints = Table(
    "notification_endpoints",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("queue", Text, nullable=False),
    # An address often is a secret: encrypted, or `env:NAME` / `file:PATH`, where it is kept.
    Column("address", LargeBinary, nullable=False),
    # What signs a webhook, encrypted as well.
    Column("signing_key", LargeBinary),
    # {"field": ["value", ...]}: a message passes if each field has one of its values.
    Column("filters", JSONB, nullable=False),
    # How it is spared: {"severity", "digest" (minutes), "quiet" ("22:00-07:00"), "timezone", "each"}.
    Column("options", JSONB, nullable=False, server_default="{}"),
    timestamp_column("created_at", default_now=True),
    UniqueConstraint("name"),
    CheckConstraint("name <> ''", name="named"),
)

# Notifications that are delivered later, all that are due in one message.
notification_waiting = Table(
    "notification_waiting",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("endpoint_id", Uuid, ForeignKey(notification_endpoints.c.id, ondelete="CASCADE"), nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("link", Text),
    timestamp_column("due_at"),
    Index("ix_notification_waiting_due_at", "due_at"),
)

# When a notification of a group was last delivered at once: its repeats wait.
notification_recent = Table(
    "notification_recent",
    metadata,
    Column(
        "endpoint_id", Uuid, ForeignKey(notification_endpoints.c.id, ondelete="CASCADE"), primary_key=True
    ),
    Column("group_key", LargeBinary, primary_key=True),
    timestamp_column("at"),
)
