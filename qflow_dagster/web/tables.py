"""Declare the table of tokens for the HTTP API."""

from sqlalchemy import ARRAY, Column, Table, Text, Uuid

from qflow_dagster.database.schema import metadata, timestamp_column

# No secret: a token is signed, and has the id.
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_by", Text, nullable=False),
    timestamp_column("created_at", default_now=True),
    timestamp_column("expires_at"),
    timestamp_column("revoked_at", nullable=True),
    timestamp_column("last_used_at", nullable=True),
)
