"""Fairness between the keys of a type of workflows: whose turn it is, and how many claims its rate allows."""

import sqlalchemy as sa
from alembic import op

revision = "0043_fairness"
down_revision = "0042_traces_of_calls"


def upgrade() -> None:
    op.add_column("workflows", sa.Column("fairness_key", sa.Text()))
    op.create_index(
        "ix_workflows_fairness",
        "workflows",
        ["type", "fairness_key", sa.text("priority DESC"), "available_at", "id"],
        postgresql_where=sa.text("claimable AND remaining_dependencies = 0 AND fairness_key IS NOT NULL"),
    )
    op.create_table(
        "fairness_turns",
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("fairness_key", sa.Text(), nullable=False),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tokens", sa.Double()),
        sa.PrimaryKeyConstraint("type", "fairness_key", name="pk_fairness_turns"),
    )
