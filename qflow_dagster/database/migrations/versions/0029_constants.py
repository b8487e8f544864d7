"""Constants, properties and type aliases that files declare; they are read with the next version of the extractor."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0029_constants"
down_revision = "0028_event_ids"


def upgrade() -> None:
    op.add_column("blobs", sa.Column("constants", ARRAY(sa.Text()), nullable=False, server_default="{}"))
    op.alter_column("blobs", "constants", server_default=None)
