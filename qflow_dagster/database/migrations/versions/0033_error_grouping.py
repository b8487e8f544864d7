"""Errors merged by hand, own grouping rules, and the releases that errors occur in and are resolved in."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0033_error_grouping"
down_revision = "0032_work_plan"


def upgrade() -> None:
    _allow_merged()
    for name in ("first_release", "last_release", "resolved_in"):
        op.add_column("error_groups", sa.Column(name, sa.Text))
    op.add_column("error_groups", sa.Column("merged_into", sa.Uuid))
    op.create_index(
        "ix_error_groups_merged_into",
        "error_groups",
        ["merged_into"],
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    op.create_table(
        "error_releases",
        sa.Column("release", sa.Text, primary_key=True),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "error_grouping_rules",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("patterns", JSONB, nullable=False),
        sa.Column("fingerprint", ARRAY(sa.Text), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("removed_by", sa.Text),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
    )


def _allow_merged() -> None:
    """Let error groups have the state `merged`; no other type of workflow has the state `muted`."""
    query = sa.text(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_workflows_status'"
    )
    definition = str(op.get_bind().scalar(query))
    op.drop_constraint("ck_workflows_status", "workflows")
    changed = definition.replace("'muted'::text", "'muted'::text, 'merged'::text")
    op.execute(sa.text(f"ALTER TABLE workflows ADD CONSTRAINT ck_workflows_status {changed}"))
