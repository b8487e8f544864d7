"""Rules shared with other instances: publications, imports, votes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012_publishing"
down_revision = "0011_evolution"

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
    "rule": "status IN ('draft', 'trial', 'active', 'retired')",
    "rule_approval": "status IN ('pending', 'approved', 'denied', 'consumed', 'expired', 'revoked')",
    "rule_consensus": "status IN ('voting', 'agreed', 'promoted', 'rejected', 'expired', 'rolled_back')",
    "rule_evolution": "status IN ('pending', 'running', 'completed', 'dead')",
    "rule_mining": "status IN ('pending', 'running', 'completed', 'dead')",
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
        "rule_publications",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rule_digest", sa.LargeBinary(), nullable=False),
        sa.Column("package_digest", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("confidence_mean", sa.Float(), nullable=False),
        sa.Column("confidence_lower", sa.Float(), nullable=False),
        sa.Column("evidence", JSONB(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "origin IN ('shipped', 'mined', 'variant', 'imported')", name=op.f("ck_rule_publications_origin")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_publications")),
        sa.UniqueConstraint(
            "place", "package_digest", name=op.f("uq_rule_publications_place_package_digest")
        ),
    )
    op.create_index("ix_rule_publications_rule_digest", "rule_publications", ["rule_digest"], unique=False)
    op.create_table(
        "rule_imports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("package_digest", sa.LargeBinary(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rule_digest", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("named_by", sa.Text(), nullable=True),
        sa.Column("was_here", sa.Boolean(), nullable=False),
        sa.Column("accepted", sa.Float(), nullable=False),
        sa.Column("denied", sa.Float(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("successes", sa.Integer(), nullable=False),
        sa.Column("confidence_mean", sa.Float(), nullable=False),
        sa.Column("confidence_lower", sa.Float(), nullable=False),
        sa.Column("package", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "imported_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("successes <= uses", name=op.f("ck_rule_imports_successes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_imports")),
        sa.UniqueConstraint("package_digest", name=op.f("uq_rule_imports_package_digest")),
    )
    op.create_index(
        "ix_rule_imports_rule_digest",
        "rule_imports",
        ["rule_digest", "public_key", "published_at"],
        unique=False,
    )
    op.create_table(
        "rule_votes",
        sa.Column("rule_digest", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.Column("named_by", sa.Text(), nullable=True),
        sa.Column("vote", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("successes", sa.Integer(), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.Column("cast_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("vote IN ('approve', 'reject', 'abstain')", name=op.f("ck_rule_votes_vote")),
        sa.CheckConstraint("successes <= uses", name=op.f("ck_rule_votes_successes")),
        sa.PrimaryKeyConstraint("rule_digest", "public_key", name=op.f("pk_rule_votes")),
    )
