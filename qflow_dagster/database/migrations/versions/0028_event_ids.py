"""An event that a sender sends again counts once."""

import sqlalchemy as sa
from alembic import op

revision = "0028_event_ids"
down_revision = "0027_approval_archive"


def upgrade() -> None:
    for table in ("error_occurrences", "operation_successes"):
        op.add_column(table, sa.Column("event_id", sa.Text))
        op.create_index(
            f"uq_{table}_event_id",
            table,
            ["event_id"],
            unique=True,
            postgresql_where=sa.text("event_id IS NOT NULL"),
        )
