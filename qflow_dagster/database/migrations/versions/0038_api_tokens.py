"""Personal tokens for the HTTP API."""

import sqlalchemy as sa
from alembic import op

revision = "0038_api_tokens"
down_revision = "0037_approval_lists"


def upgrade() -> None:
    timestamp = sa.TIMESTAMP(timezone=True)
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", timestamp, nullable=False, server_default=sa.text("clock_timestamp()")),
        sa.Column("expires_at", timestamp, nullable=False),
        sa.Column("revoked_at", timestamp),
        sa.Column("last_used_at", timestamp),
    )
