"""The exceptions of an event with their frames, as an SDK sends them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0030_error_exceptions"
down_revision = "0029_constants"


def upgrade() -> None:
    op.add_column("error_occurrences", sa.Column("exceptions", JSONB))
