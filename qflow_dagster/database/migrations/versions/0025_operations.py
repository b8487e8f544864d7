"""Circuit breakers count by generation, wait longer each time, are held by hand, and count slow calls."""

import sqlalchemy as sa
from alembic import op

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
