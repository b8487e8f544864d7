"""Where notifications go: the endpoints people registered."""

from sqlalchemy import CheckConstraint, Column, LargeBinary, Table, Text, UniqueConstraint, Uuid
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
    timestamp_column("created_at", default_now=True),
    UniqueConstraint("name"),
    CheckConstraint("name <> ''", name="named"),
)
