"""Packages and namespaces that files declare; they are read with the next version of the extractor."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0022_namespaces"
down_revision = "0021_history_and_gaps"


def upgrade() -> None:
    op.add_column("blobs", sa.Column("namespaces", ARRAY(sa.Text()), nullable=False, server_default="{}"))
    op.alter_column("blobs", "namespaces", server_default=None)
