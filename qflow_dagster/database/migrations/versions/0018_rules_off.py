"""Rules that are switched off in a repository, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0018_rules_off"
down_revision = "0017_edit_lifecycle"


def upgrade() -> None:
    op.create_table(
        "rules_off",
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("matches", sa.Integer(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_rules_off_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "rule_id", "reason", name=op.f("pk_rules_off")),
    )
