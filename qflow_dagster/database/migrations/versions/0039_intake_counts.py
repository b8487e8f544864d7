"""Sessions of releases, and events that SDKs dropped."""

import sqlalchemy as sa
from alembic import op

revision = "0039_intake_counts"
down_revision = "0038_api_tokens"


def upgrade() -> None:
    today = sa.text("current_date")
    op.create_table(
        "release_sessions",
        sa.Column("day", sa.Date, primary_key=True, server_default=today),
        sa.Column("release", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("errored", sa.BigInteger, nullable=False),
        sa.Column("crashed", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "discarded_events",
        sa.Column("day", sa.Date, primary_key=True, server_default=today),
        sa.Column("category", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, primary_key=True),
        sa.Column("quantity", sa.BigInteger, nullable=False),
    )
