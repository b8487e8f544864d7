"""The team that holds most of a file."""

import sqlalchemy as sa
from alembic import op

revision = "0023_teams"
down_revision = "0022_namespaces"


def upgrade() -> None:
    op.add_column("change_metrics", sa.Column("main_team", sa.Text(), nullable=True))
    op.add_column("change_metrics", sa.Column("team_ownership", sa.Float(), nullable=True))
