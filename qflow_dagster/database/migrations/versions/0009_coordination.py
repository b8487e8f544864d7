"""Task graphs, agents and knowledge requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

revision = "0009_coordination"
down_revision = "0008_improvement"

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
        "agents",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("domains", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("input_types", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("output_types", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("complexity", sa.Text(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("availability", sa.Text(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("heartbeat_interval", sa.Float(), nullable=True),
        sa.Column(
            "heartbeat_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "registered_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "availability IN ('available', 'busy', 'overloaded', 'offline')",
            name=op.f("ck_agents_availability"),
        ),
        sa.CheckConstraint(
            "complexity IN ('simple', 'medium', 'complex')", name=op.f("ck_agents_complexity")
        ),
        sa.CheckConstraint(
            "role IN ('self_improve', 'cost_optimize', 'architect', 'technology', 'refactoring', 'chat', 'quality_enforcer')",
            name=op.f("ck_agents_role"),
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_agents")),
    )
    op.create_table(
        "assignments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("input_type", sa.Text(), nullable=False),
        sa.Column("output_type", sa.Text(), nullable=False),
        sa.Column("complexity", sa.Text(), nullable=False),
        sa.Column("task", JSONB(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("fit", sa.Float(), nullable=True),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tried", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
    )
    op.create_index(
        "ix_assignments_agent",
        "assignments",
        ["agent"],
        unique=False,
        postgresql_where=sa.text("agent IS NOT NULL"),
    )
    op.create_table(
        "outcomes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("latency", sa.Float(), nullable=True),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("quality", sa.Float(), nullable=True),
        sa.Column("feedback", sa.Text(), nullable=True),
        sa.Column("assignment_id", sa.Uuid(), nullable=True),
        sa.Column("attempt_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcomes")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_outcomes_attempt_id")),
    )
    op.create_index("ix_outcomes_agent", "outcomes", ["agent", "domain"], unique=False)
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
        "knowledge_entries",
        sa.Column("blob_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_words", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column(
            "tsv",
            TSVECTOR(),
            sa.Computed(
                "setweight(to_tsvector('english', name_words), 'A') || setweight(to_tsvector('english', words), 'B')",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["blob_id"], ["blobs.id"], name=op.f("fk_knowledge_entries_blob_id_blobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("blob_id", "seq", name=op.f("pk_knowledge_entries")),
    )
    op.create_index(
        "ix_knowledge_entries_tsv", "knowledge_entries", ["tsv"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "knowledge_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("external_key", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_reference", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('question', 'pattern', 'signature', 'dataset', 'model', 'workflow', 'anti_pattern')",
            name=op.f("ck_knowledge_requests_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_knowledge_requests_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_knowledge_requests")),
        sa.UniqueConstraint("external_key", name=op.f("uq_knowledge_requests_external_key")),
    )
    op.create_index(
        "ix_knowledge_requests_repository_id", "knowledge_requests", ["repository_id"], unique=False
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
    op.create_table(
        "knowledge_commits",
        sa.Column("commit_id", sa.BigInteger(), nullable=False),
        sa.Column("tsv", TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["commit_id"],
            ["commits.id"],
            name=op.f("fk_knowledge_commits_commit_id_commits"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("commit_id", name=op.f("pk_knowledge_commits")),
    )
    op.create_index(
        "ix_knowledge_commits_tsv", "knowledge_commits", ["tsv"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "knowledge_resolutions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("resolution", JSONB(), nullable=False),
        sa.Column("resolved_by", sa.Text(), nullable=False),
        sa.Column("follow_up", sa.Text(), nullable=True),
        sa.Column("followed_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "follow_up IN ('rescan', 'flag')", name=op.f("ck_knowledge_resolutions_follow_up")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["knowledge_requests.id"],
            name=op.f("fk_knowledge_resolutions_request_id_knowledge_requests"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_knowledge_resolutions")),
    )
    op.create_index(
        "ix_knowledge_resolutions_request_id", "knowledge_resolutions", ["request_id"], unique=False
    )
    op.create_index(
        "ix_workflows_open_children",
        "workflows",
        ["parent_id"],
        unique=False,
        postgresql_where=sa.text("parent_id IS NOT NULL AND finished_at IS NULL"),
    )
