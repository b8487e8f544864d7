"""A change has several files and work items; locations without a change have a reason."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016_changes_of_several_files"
down_revision = "0015_work_names"


def upgrade() -> None:
    uuids = postgresql.ARRAY(sa.Uuid())
    for table in ("candidates", "suggestions"):
        op.add_column(table, sa.Column("work_items", uuids, nullable=True))
        op.execute(f"UPDATE {table} SET work_items = ARRAY[work_item_id]")
        op.alter_column(table, "work_items", nullable=False)
    op.add_column("candidates", sa.Column("generation_id", sa.Uuid(), nullable=True))
    # The request of a generation was found by its key until now.
    op.execute("""
        UPDATE candidates c SET generation_id = w.id FROM workflows w
        WHERE w.type = 'generation' AND w.key = c.work_item_id || ':' || c.base_commit
    """)
    op.add_column(
        "candidates",
        sa.Column("locations", postgresql.JSONB(), nullable=False, server_default=sa.text("'[]'")),
    )
    op.alter_column("candidates", "locations", server_default=None)
    op.create_table(
        "withheld_locations",
        sa.Column(
            "repository_id",
            sa.BigInteger(),
            sa.ForeignKey(
                "repositories.id",
                name=op.f("fk_withheld_locations_repository_id_repositories"),
                ondelete="CASCADE",
            ),
            nullable=False,
        ),
        sa.Column("base_commit", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint(
            "repository_id", "base_commit", "rule_id", "path", "line", name=op.f("pk_withheld_locations")
        ),
    )
