"""Task graphs, agents, SPARC and knowledge requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009_coordination"
down_revision = "0008_improvement"

JOB = "status IN ('pending', 'running', 'failed', 'paused', 'completed', 'dead', 'cancelled', 'expired')"
STATUSES = {
    "capability": "status IN ('backlog', 'analyzing', 'implementing', 'validating', 'done', 'cancelled')",
    "circuit_breaker": "status IN ('closed', 'open', 'half_open')",
    "code_ingestion": "status IN ('pending', 'running', 'completed', 'dead')",
    "edit_approval": "status IN ('pending', 'approved', 'denied', 'consumed', 'expired', 'revoked')",
    "epic": "status IN ('ideation', 'analysis', 'implementation', 'done', 'cancelled')",
    "error_group": "status IN ('open', 'acknowledged', 'resolved', 'regressed', 'muted')",
    "feature": "status IN ('backlog', 'in_progress', 'done', 'cancelled')",
    "history_ingestion": "status IN ('pending', 'running', 'completed', 'dead')",
    "improvement_cycle": "status IN ('pending', 'running', 'completed', 'dead')",
    "incident": "status IN ('open', 'closed')",
    "metrics_pipeline": "status IN ('pending', 'running', 'completed', 'dead')",
    "rollback_approval": "status IN ('pending', 'approved', 'denied', 'consumed', 'expired', 'revoked')",
    "rule_approval": "status IN ('pending', 'approved', 'denied', 'consumed', 'expired', 'revoked')",
    "service_restart": "status IN ('pending', 'running', 'completed', 'dead')",
    "suggestion": "status IN ('suggested', 'validated', 'awaiting_approval', 'approved', 'applied', 'verified', 'reverted', 'rejected', 'expired', 'failed', 'superseded')",
    "task_admin": "status IN ('pending', 'running', 'waiting', 'completed', 'failed', 'blocked', 'skipped', 'cancelled')",
    "task_coder": "status IN ('pending', 'running', 'waiting', 'completed', 'failed', 'blocked', 'skipped', 'cancelled')",
    "task_critic": "status IN ('pending', 'running', 'waiting', 'completed', 'failed', 'blocked', 'skipped', 'cancelled')",
    "task_graph": "status IN ('running', 'completed', 'failed', 'cancelled')",
    "task_researcher": "status IN ('pending', 'running', 'waiting', 'completed', 'failed', 'blocked', 'skipped', 'cancelled')",
    "task_tester": "status IN ('pending', 'running', 'waiting', 'completed', 'failed', 'blocked', 'skipped', 'cancelled')",
    "theme": "status IN ('active', 'done', 'cancelled')",
    "work_chunk": "status IN ('received', 'waiting', 'escalated', 'applied', 'rejected')",
    "workflow_approval": "status IN ('pending', 'approved', 'denied', 'consumed', 'expired', 'revoked')",
}


def upgrade() -> None:
    branches = " ".join(f"WHEN '{name}' THEN {states}" for name, states in STATUSES.items())
    op.drop_constraint("ck_workflows_status", "workflows")
    op.create_check_constraint(
        op.f("ck_workflows_status"), "workflows", f"CASE type {branches} ELSE {JOB} END"
    )
    op.create_table(
        "task_graphs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("input", JSONB(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_graphs")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("graph_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("spec", JSONB(), nullable=False),
        sa.Column("element", JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["graph_id"], ["task_graphs.id"], name=op.f("fk_tasks_graph_id_task_graphs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index("ix_tasks_graph_id", "tasks", ["graph_id", "depth", "position"], unique=False)
    op.create_index(
        "ix_workflows_open_children",
        "workflows",
        ["parent_id"],
        unique=False,
        postgresql_where=sa.text("parent_id IS NOT NULL AND finished_at IS NULL"),
    )
