"""The machine that a repository known by its path is on; those of before are taken to be on any."""

import sqlalchemy as sa
from alembic import op

revision = "0035_repository_hosts"
down_revision = "0034_wake_ups"


def upgrade() -> None:
    op.add_column("repositories", sa.Column("host", sa.Text()))
