"""What lists of approvals are filtered by is in columns, and a request names who is expected to decide it."""

import sqlalchemy as sa
from alembic import op

revision = "0030_approval_lists"
down_revision = "0029_constants"

GENERATED = {
    "repository": "content ->> 'repository'",
    "rule": "CASE WHEN kind = 'rule' THEN target ELSE split_part(evidence ->> 'rule', ' ', 1) END",
    "risk": "evidence ->> 'risk'",
}


def upgrade() -> None:
    for name, expression in GENERATED.items():
        op.add_column("approvals", sa.Column(name, sa.Text, sa.Computed(expression, persisted=True)))
    op.add_column("approvals", sa.Column("owner", sa.Text))
