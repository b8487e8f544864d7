"""Columns of agents and generation under their present names."""

from alembic import op

revision = "0015_work_names"
down_revision = "0014_rule_terms"

RENAMED = (
    ("agents", "most", "max_assignments"),
    ("suite_runs", "words", "summary"),
)


def upgrade() -> None:
    for table, old, new in RENAMED:
        op.alter_column(table, old, new_column_name=new)
