"""Stories below features, what a person states of an item, and iterations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0032_work_plan"
down_revision = "0031_leases"


def upgrade() -> None:
    op.create_table(
        "iterations",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("planning_interval", sa.Text),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("ends_on", sa.Date, nullable=False),
        sa.Column("capacity", sa.Float),
        sa.CheckConstraint("starts_on <= ends_on", name=op.f("ck_iterations_period")),
        sa.ForeignKeyConstraint(
            ["planning_interval"],
            ["iterations.name"],
            name=op.f("fk_iterations_planning_interval_iterations"),
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_iterations")),
    )
    for column in (
        sa.Column("owner", sa.Text),
        sa.Column("due", sa.Date),
        sa.Column("points", sa.Integer),
        sa.Column("priority", sa.Text),
        sa.Column("labels", JSONB, nullable=False, server_default="[]"),
        sa.Column("iteration", sa.Text),
    ):
        op.add_column("work_items", column)
    op.create_foreign_key(
        op.f("fk_work_items_iteration_iterations"),
        "work_items",
        "iterations",
        ["iteration"],
        ["name"],
        ondelete="SET NULL",
        onupdate="CASCADE",
    )
    op.drop_constraint("ck_work_items_level", "work_items")
    op.create_check_constraint(
        op.f("ck_work_items_level"),
        "work_items",
        "level IN ('theme', 'epic', 'capability', 'feature', 'story')",
    )
    # What one rule, measure or error calls for at a location is a story; planning makes the features above it.
    op.execute(
        sa.text(
            "UPDATE work_items SET level = 'story' WHERE level = 'feature' AND source IN ('findings', 'metric', 'error')"
        )
    )
    op.drop_index("ix_work_items_next", "work_items")
    op.create_index(
        "ix_work_items_next",
        "work_items",
        ["wsjf", "created_at"],
        postgresql_where=sa.text("level IN ('feature', 'story')"),
    )
