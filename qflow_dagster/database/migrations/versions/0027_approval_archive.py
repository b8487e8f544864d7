"""Archived approvals keep their status and run, whoever archives their workflow."""

import sqlalchemy as sa
from alembic import op

revision = "0027_approval_archive"
down_revision = "0026_notifications"


def upgrade() -> None:
    op.add_column("approvals", sa.Column("final_status", sa.Text))
    op.add_column("approvals", sa.Column("run_id", sa.Text))
    op.execute("""
        CREATE FUNCTION keep_approval() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE approvals SET final_status = OLD.status, run_id = OLD.run_id WHERE id = OLD.id;
            RETURN OLD;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER keep_approval BEFORE DELETE ON workflows FOR EACH ROW
        WHEN (OLD.type IN ('edit_approval', 'workflow_approval', 'rule_approval', 'rollback_approval'))
        EXECUTE FUNCTION keep_approval()
    """)
