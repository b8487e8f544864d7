"""Approvals, errors and breakers, health, notification endpoints."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006_operations"
down_revision = "0005_measurements"

TIMESTAMP = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")

RECORDED = "status IN ('pending', 'running', 'completed', 'dead')"
JOB = "status IN ('pending', 'running', 'failed', 'paused', 'completed', 'dead', 'cancelled', 'expired')"
APPROVAL = "status IN ('pending', 'approved', 'denied', 'consumed', 'expired', 'revoked')"
STATUSES = {
    "circuit_breaker": "status IN ('closed', 'open', 'half_open')",
    "code_ingestion": RECORDED,
    "edit_approval": APPROVAL,
    "error_group": "status IN ('open', 'acknowledged', 'resolved', 'regressed', 'muted')",
    "history_ingestion": RECORDED,
    "incident": "status IN ('open', 'closed')",
    "metrics_pipeline": RECORDED,
    "rollback_approval": APPROVAL,
    "rule_approval": APPROVAL,
    "service_restart": RECORDED,
    "workflow_approval": APPROVAL,
}


def upgrade() -> None:
    branches = " ".join(f"WHEN '{name}' THEN {states}" for name, states in STATUSES.items())
    op.drop_constraint("ck_workflows_status", "workflows")
    op.create_check_constraint(
        op.f("ck_workflows_status"), "workflows", f"CASE type {branches} ELSE {JOB} END"
    )
    approvals()
    errors()
    health()
    op.create_table(
        "notification_endpoints",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("signing_key", sa.LargeBinary()),
        sa.Column("filters", JSONB(), nullable=False),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.UniqueConstraint("name", name="uq_notification_endpoints_name"),
        sa.CheckConstraint("name <> ''", name=op.f("ck_notification_endpoints_named")),
    )


def approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("content", JSONB(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", JSONB()),
        sa.Column("required_approvals", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary()),
        sa.Column("expires_at", TIMESTAMP, nullable=False),
        sa.Column("warn_at", TIMESTAMP),
        sa.Column("requested_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.UniqueConstraint("token_hash", name="uq_approvals_token_hash"),
        sa.UniqueConstraint("id", "requested_by", name="uq_approvals_id_requested_by"),
        sa.CheckConstraint(
            "kind IN ('edit', 'workflow', 'rule', 'rollback')", name=op.f("ck_approvals_kind")
        ),
        sa.CheckConstraint(
            "required_approvals BETWEEN 1 AND 100", name=op.f("ck_approvals_required_approvals")
        ),
        sa.CheckConstraint("requested_by <> '' AND target <> ''", name=op.f("ck_approvals_named")),
    )
    op.create_index(
        "ix_approvals_warn_at", "approvals", ["warn_at"], postgresql_where=sa.text("warn_at IS NOT NULL")
    )
    op.create_index("ix_approvals_target", "approvals", ["kind", "target"])
    op.create_index(
        "ix_workflows_approvals",
        "workflows",
        ["type", "status", "id"],
        postgresql_where=sa.text(
            "type IN ('edit_approval', 'workflow_approval', 'rule_approval', 'rollback_approval')"
        ),
    )
    op.create_table(
        "approval_decisions",
        sa.Column("approval_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("approval_id", "actor"),
        sa.ForeignKeyConstraint(
            ["approval_id", "requested_by"],
            ["approvals.id", "approvals.requested_by"],
            name="fk_approval_decisions_approval_id_requested_by_approvals",
        ),
        sa.CheckConstraint("actor <> requested_by", name=op.f("ck_approval_decisions_four_eyes")),
        sa.CheckConstraint("actor <> ''", name=op.f("ck_approval_decisions_named")),
        sa.CheckConstraint("decision IN ('approve', 'deny')", name=op.f("ck_approval_decisions_decision")),
    )
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON approval_decisions "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_history_change()"
    )
    op.create_table(
        "approval_refusals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("approval_id", sa.Uuid()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("presented", JSONB(), nullable=False),
        sa.Column("at", TIMESTAMP, server_default=NOW, nullable=False),
    )
    op.create_index("ix_approval_refusals_approval_id", "approval_refusals", ["approval_id"])


def errors() -> None:
    op.create_table(
        "error_occurrences",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="Error", nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("stack", sa.Text()),
        sa.Column("context", JSONB()),
        sa.Column("severity", sa.Text(), server_default="error", nullable=False),
        sa.Column("correlation_id", sa.Text()),
        sa.Column("run_id", sa.Text()),
        sa.Column("source", sa.Text(), server_default="insert", nullable=False),
        sa.Column("at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("group_id", sa.Uuid()),
        sa.CheckConstraint(
            "severity IN ('debug', 'info', 'warning', 'error', 'critical')",
            name=op.f("ck_error_occurrences_severity"),
        ),
        sa.CheckConstraint("operation <> ''", name=op.f("ck_error_occurrences_named")),
    )
    op.create_index(
        "ix_error_occurrences_new", "error_occurrences", ["id"], postgresql_where=sa.text("group_id IS NULL")
    )
    op.create_index("ix_error_occurrences_operation_at", "error_occurrences", ["operation", "at"])
    op.create_index(
        "ix_error_occurrences_group_id",
        "error_occurrences",
        ["group_id", "id"],
        postgresql_where=sa.text("group_id IS NOT NULL"),
    )
    op.create_table(
        "operation_successes",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.CheckConstraint("operation <> '' AND count > 0", name=op.f("ck_operation_successes_counted")),
    )
    op.create_index("ix_operation_successes_operation_at", "operation_successes", ["operation", "at"])
    op.create_table(
        "error_groups",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("classification", sa.Text(), nullable=False),
        sa.Column("retryable", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("frames", JSONB(), nullable=False),
        sa.Column("suspect", JSONB()),
        sa.Column("first_seen", TIMESTAMP, nullable=False),
        sa.Column("last_seen", TIMESTAMP, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("fingerprint", name="uq_error_groups_fingerprint"),
    )
    op.create_index("ix_error_groups_operation", "error_groups", ["operation"])
    op.create_index("ix_error_groups_last_seen", "error_groups", ["last_seen"])
    op.create_table(
        "operation_alerts",
        sa.Column("operation", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("alerting", sa.Boolean(), nullable=False),
        sa.Column("since", TIMESTAMP, nullable=False),
        sa.Column("told_at", TIMESTAMP),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
    )
    op.create_index(
        "ix_operation_alerts_alerting",
        "operation_alerts",
        ["operation"],
        postgresql_where=sa.text("alerting"),
    )
    op.create_table(
        "circuit_breakers",
        sa.Column("operation", sa.Text(), primary_key=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("successes", sa.Integer(), nullable=False),
        sa.Column("failed_at", TIMESTAMP),
        sa.Column("opened_at", TIMESTAMP),
        sa.Column("probe", sa.Uuid()),
        sa.Column("probe_until", TIMESTAMP),
        sa.Column("reason", sa.Text()),
        sa.Column("guarded", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("id", name="uq_circuit_breakers_id"),
    )


def health() -> None:
    op.create_table(
        "health_states",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("threshold", sa.Double()),
        sa.Column("unit", sa.Text()),
        sa.Column("since", TIMESTAMP, nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("streak", sa.Integer(), nullable=False),
        sa.Column("changes", JSONB(), nullable=False),
        sa.Column("incident_id", sa.Uuid()),
    )
    op.create_table(
        "health_samples",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.PrimaryKeyConstraint("name", "id"),
    )
    op.create_index("ix_health_samples_name_at", "health_samples", ["name", "at"])
    op.create_table(
        "health_services",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("expected_status", sa.Integer(), nullable=False),
        sa.Column("timeout_ms", sa.Integer(), nullable=False),
        sa.Column("restart_command", JSONB()),
        sa.Column("restart_limit", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "expected_status BETWEEN 100 AND 599", name=op.f("ck_health_services_expected_status")
        ),
        sa.CheckConstraint("timeout_ms BETWEEN 1 AND 60000", name=op.f("ck_health_services_timeout_ms")),
        sa.CheckConstraint("restart_limit BETWEEN 0 AND 100", name=op.f("ck_health_services_restart_limit")),
    )
