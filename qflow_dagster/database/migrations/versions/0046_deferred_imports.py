"""Imports that do not run when their file does."""

import sqlalchemy as sa
from alembic import op

revision = "0046_deferred_imports"
down_revision = "0045_agent_hosts"


def upgrade() -> None:
    # Blobs are read again by the next version of the extractor, which knows better.
    op.add_column("imports", sa.Column("deferred", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.alter_column("imports", "deferred", server_default=None)
