"""Size and complexity at commits of a repository's past, which were never ingested."""

import sqlalchemy as sa
from alembic import op

revision = "0044_past_metrics"
down_revision = "0043_fairness"


def upgrade() -> None:
    op.create_table(
        "past_metrics",
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("commit_oid", sa.Text(), nullable=False),
        sa.Column("extractor_version", sa.Integer(), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("code_lines", sa.Integer(), nullable=False),
        sa.Column("functions", sa.Integer(), nullable=False),
        sa.Column("cognitive_p90", sa.Float()),
        sa.Column("unread_files", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "commit_oid", name="pk_past_metrics"),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name="fk_past_metrics_repository_id_repositories",
            ondelete="CASCADE",
        ),
    )
