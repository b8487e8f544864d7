"""Lists of approvals with filters; owners, forms, delegated decisions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0037_approval_lists"
down_revision = "0036_call_receivers"

GENERATED = {
    "repository": "content ->> 'repository'",
    "rule": "CASE WHEN kind = 'rule' THEN target ELSE split_part(evidence ->> 'rule', ' ', 1) END",
    "risk": "evidence ->> 'risk'",
}


def upgrade() -> None:
    for name, expression in GENERATED.items():
        op.add_column("approvals", sa.Column(name, sa.Text, sa.Computed(expression, persisted=True)))
    op.add_column("approvals", sa.Column("owner", sa.Text))
    op.add_column("approvals", sa.Column("form", JSONB))
    op.add_column("approval_decisions", sa.Column("answers", JSONB))
    op.add_column("approval_decisions", sa.Column("on_behalf_of", sa.Text))
    op.create_table(
        "approval_delegations",
        sa.Column("approval_id", sa.Uuid, primary_key=True),
        sa.Column("delegator", sa.Text, primary_key=True),
        sa.Column("delegate", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column(
            "at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
        ),
    )
