"""What is counted of each session of a release, so that later and repeated updates count once."""

import sqlalchemy as sa
from alembic import op

revision = "0041_session_states"
down_revision = "0040_pushes"


def upgrade() -> None:
    op.create_table(
        "session_states",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("crashed", sa.BigInteger(), nullable=False),
        sa.Column("was_failed", sa.BigInteger()),
        sa.Column("was_crashed", sa.BigInteger()),
    )
