"""What was measured of which snapshot."""

import sqlalchemy as sa
from alembic import op

revision = "0005_measurements"
down_revision = "0004_recorded"


def upgrade() -> None:
    op.create_table(
        "measurements",
        sa.Column("snapshot_id", sa.BigInteger(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshots.id"],
            name=op.f("fk_measurements_snapshot_id_snapshots"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "metric", name=op.f("pk_measurements")),
    )
