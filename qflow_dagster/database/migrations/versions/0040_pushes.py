"""When a forge last reported a push to a repository."""

import sqlalchemy as sa
from alembic import op

revision = "0040_pushes"
down_revision = "0039_intake_counts"


def upgrade() -> None:
    op.add_column("repositories", sa.Column("pushed_at", sa.DateTime(timezone=True)))
