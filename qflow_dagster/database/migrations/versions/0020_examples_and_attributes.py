"""Files are examples, and may be left out of statistics of languages by `.gitattributes`."""

import sqlalchemy as sa
from alembic import op

revision = "0020_examples_and_attributes"
down_revision = "0019_not_applicable"


def upgrade() -> None:
    # Snapshots of an older extractor are ingested anew, and get the right values then.
    for name, default in (("example", sa.false()), ("detectable", sa.true())):
        op.add_column("files", sa.Column(name, sa.Boolean(), nullable=False, server_default=default))
        op.alter_column("files", name, server_default=None)
