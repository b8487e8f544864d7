"""Receivers of calls and aliases of imports; they are read with the next version of the extractor."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0036_call_receivers"
down_revision = "0035_repository_hosts"


def upgrade() -> None:
    for table, column in (("symbols", "call_receivers"), ("imports", "aliases")):
        op.add_column(table, sa.Column(column, ARRAY(sa.Text()), nullable=False, server_default="{}"))
        op.alter_column(table, column, server_default=None)
