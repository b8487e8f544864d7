"""The machine that an agent works on."""

import sqlalchemy as sa
from alembic import op

revision = "0045_agent_hosts"
down_revision = "0044_past_metrics"


def upgrade() -> None:
    op.add_column("agents", sa.Column("host", sa.Text()))
