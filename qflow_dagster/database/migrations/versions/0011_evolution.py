"""Rules that evolve: outcomes, confidence, thresholds, lives."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011_evolution"
down_revision = "0010_sparc"

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
        "rule_confidence",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("lower", sa.Float(), nullable=False),
        sa.Column("wilson", sa.Float(), nullable=False),
        sa.Column("good", sa.Float(), nullable=False),
        sa.Column("bad", sa.Float(), nullable=False),
        sa.Column("decisions", sa.Integer(), nullable=False),
        sa.Column("drifted", sa.Boolean(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("level IN ('show', 'ask', 'act')", name=op.f("ck_rule_confidence_level")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_confidence")),
    )
    op.create_index("ix_rule_confidence_digest", "rule_confidence", ["digest", "id"], unique=False)
    op.create_table(
        "rule_lives",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("definition", JSONB(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("parent", sa.LargeBinary(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("evidence", JSONB(), nullable=False),
        sa.Column("approval_id", sa.Uuid(), nullable=True),
        sa.Column("wanted", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "origin IN ('shipped', 'mined', 'variant', 'imported')", name=op.f("ck_rule_lives_origin")
        ),
        sa.CheckConstraint("wanted IN ('trial', 'active', 'retired')", name=op.f("ck_rule_lives_wanted")),
        sa.CheckConstraint("(approval_id IS NULL) = (wanted IS NULL)", name=op.f("ck_rule_lives_asked")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_lives")),
        sa.UniqueConstraint("digest", name=op.f("uq_rule_lives_digest")),
    )
    op.create_index(
        "ix_rule_lives_approval_id",
        "rule_lives",
        ["approval_id"],
        unique=False,
        postgresql_where=sa.text("approval_id IS NOT NULL"),
    )
    op.create_index("ix_rule_lives_rule_id", "rule_lives", ["rule_id", "version"], unique=False)
    op.create_table(
        "rule_thresholds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("previous", sa.Float(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", JSONB(), nullable=False),
        sa.Column("reverts", sa.BigInteger(), nullable=True),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("name IN ('ask', 'act', 'publish')", name=op.f("ck_rule_thresholds_name")),
        sa.CheckConstraint("value BETWEEN 0 AND 1", name=op.f("ck_rule_thresholds_value")),
        sa.ForeignKeyConstraint(
            ["reverts"], ["rule_thresholds.id"], name=op.f("fk_rule_thresholds_reverts_rule_thresholds")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_thresholds")),
    )
    op.create_table(
        "rule_outcomes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("good", sa.Boolean(), nullable=True),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("number", sa.Integer(), server_default="1", nullable=False),
        sa.Column("gate", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("believed", sa.Float(), nullable=True),
        sa.Column("believed_lower", sa.Float(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('shown', 'suppressed', 'passed', 'failed', 'approved', 'denied', 'applied', 'verified', 'reverted', 'mended', 'reappeared')",
            name=op.f("ck_rule_outcomes_kind"),
        ),
        sa.CheckConstraint("(good IS NULL) = (weight = 0)", name=op.f("ck_rule_outcomes_weight")),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name=op.f("fk_rule_outcomes_repository_id_repositories"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_outcomes")),
        sa.UniqueConstraint("kind", "reference", name=op.f("uq_rule_outcomes_kind_reference")),
    )
    op.create_index("ix_rule_outcomes_digest", "rule_outcomes", ["digest", "at"], unique=False)
    op.create_index("ix_rule_outcomes_subject", "rule_outcomes", ["subject"], unique=False)
    op.create_table(
        "rule_places",
        sa.Column("outcome_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["outcome_id"],
            ["rule_outcomes.id"],
            name=op.f("fk_rule_places_outcome_id_rule_outcomes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("outcome_id", "seq", name=op.f("pk_rule_places")),
    )
    # What is there was made by the newest version of its rule that this database knows.
    op.add_column("candidates", sa.Column("rule_version", sa.Integer()))
    op.add_column("candidates", sa.Column("rule_digest", sa.LargeBinary()))
    op.execute("""
        UPDATE candidates c SET rule_version = coalesce(v.version, 1), rule_digest = coalesce(v.digest, '')
        FROM candidates own LEFT JOIN LATERAL (
            SELECT version, digest FROM rule_versions WHERE rule_id = own.rule_id ORDER BY id DESC LIMIT 1
        ) AS v ON true WHERE own.id = c.id
    """)
    op.alter_column("candidates", "rule_version", nullable=False)
    op.alter_column("candidates", "rule_digest", nullable=False)
    op.add_column("suggestions", sa.Column("believed", sa.Float()))
    op.add_column("suggestions", sa.Column("believed_lower", sa.Float()))
    op.execute("""
        UPDATE suggestions s SET believed = c.score, believed_lower = 0 FROM candidates c WHERE c.id = s.candidate_id
    """)
    op.execute("UPDATE suggestions SET believed = 0.5, believed_lower = 0 WHERE believed IS NULL")
    op.alter_column("suggestions", "believed", nullable=False)
    op.alter_column("suggestions", "believed_lower", nullable=False)
