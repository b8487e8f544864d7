"""Wrong dates of commits, classes of clones, lines that are counted later, objects that are missing.

Metrics of stored snapshots are computed again, because their version is new.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021_history_and_gaps"
down_revision = "0020_examples_and_attributes"


def upgrade() -> None:
    for table, columns in (
        ("repository_metrics", ("misdated_commits", "uncounted_commits")),
        ("clones", ("clone_class", "copies")),
        ("snapshots", ("missing_blobs",)),
    ):
        for name in columns:
            op.add_column(table, sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
            op.alter_column(table, name, server_default=None)
    op.add_column(
        "repository_metrics", sa.Column("lines_counted_after", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("blobs", sa.Column("missing", sa.Boolean(), nullable=False, server_default="false"))
    op.alter_column("blobs", "missing", server_default=None)
    op.add_column("commits", sa.Column("line_counts", sa.Text(), nullable=False, server_default="complete"))
    op.alter_column("commits", "line_counts", server_default=None)
    op.create_check_constraint(
        op.f("ck_commits_line_counts"), "commits", "line_counts IN ('complete', 'pending', 'missing')"
    )
    op.create_index(
        "ix_commits_line_counts_pending",
        "commits",
        ["repository_id", "id"],
        postgresql_where=sa.text("line_counts = 'pending'"),
    )
    op.create_index("ix_blobs_missing", "blobs", ["id"], postgresql_where=sa.text("missing"))
    op.drop_constraint("uq_blobs_oid_language_extractor_version", "blobs")
    op.create_unique_constraint(
        "uq_blobs_oid_language_extractor_version_missing",
        "blobs",
        ["oid", "language", "extractor_version", "missing"],
    )
