"""SPARC: goals and their phases."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010_sparc"
down_revision = "0009_coordination"

JOB = "status IN ('pending', 'running', 'failed', 'paused', 'completed', 'dead', 'cancelled', 'expired')"
STATUSES = {
    "assignment": "status IN ('queued', 'assigned', 'running', 'succeeded', 'failed', 'cancelled')",
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
    "knowledge_request": "status IN ('pending', 'in_progress', 'failed', 'resolved', 'dead', 'cancelled')",
    "metrics_pipeline": "status IN ('pending', 'running', 'completed', 'dead')",
    "rollback_approval": "status IN ('pending', 'approved', 'denied', 'consumed', 'expired', 'revoked')",
    "rule_approval": "status IN ('pending', 'approved', 'denied', 'consumed', 'expired', 'revoked')",
    "service_restart": "status IN ('pending', 'running', 'completed', 'dead')",
    "sparc_goal": "status IN ('working', 'tracking', 'needs_person', 'met', 'given_up', 'cancelled')",
    "sparc_phase": "status IN ('pending', 'running', 'waiting', 'accepted', 'rejected', 'failed', 'cancelled')",
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
        "sparc_goals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("work_item_id", sa.Uuid(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("goal_type", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("target", JSONB(), nullable=False),
        sa.Column("measured", JSONB(), server_default="{}", nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("considered", JSONB(), nullable=False),
        sa.Column("round", sa.Integer(), server_default="1", nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=True),
        sa.Column("quality", sa.Float(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("cost", sa.Float(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "goal_type IN ('finding', 'metric', 'text')", name=op.f("ck_sparc_goals_goal_type")
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_sparc_goals_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sparc_goals")),
    )
    op.create_index(
        "ix_sparc_goals_strategy", "sparc_goals", ["strategy", "goal_type", "language"], unique=False
    )
    op.create_index("ix_sparc_goals_work_item_id", "sparc_goals", ["work_item_id"], unique=False)
    op.create_table(
        "sparc_phases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("goal_id", sa.Uuid(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=True),
        sa.Column("data", JSONB(), nullable=True),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("gate", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Float(), server_default="0", nullable=False),
        sa.Column("cost", sa.Float(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "phase IN ('specification', 'pseudocode', 'architecture', 'refinement', 'completion')",
            name=op.f("ck_sparc_phases_phase"),
        ),
        sa.ForeignKeyConstraint(
            ["goal_id"],
            ["sparc_goals.id"],
            name=op.f("fk_sparc_phases_goal_id_sparc_goals"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sparc_phases")),
    )
    op.create_index("ix_sparc_phases_goal_id", "sparc_phases", ["goal_id", "id"], unique=False)
