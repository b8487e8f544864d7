"""What becomes of edits after they are applied: merged, superseded, conflicting, closed, reverted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0017_edit_lifecycle"
down_revision = "0016_changes_of_several_files"

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
    "suggestion": "status IN ('suggested', 'validated', 'awaiting_approval', 'approved', 'applied', 'verified', 'conflicting', 'merged', 'superseded', 'closed', 'reverted', 'rejected', 'expired', 'failed')",
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
KINDS = (
    "kind IN ('shown', 'suppressed', 'passed', 'failed', 'approved', 'denied', 'applied', 'verified', 'merged', "
    "'closed', 'reverted', 'fixed', 'reappeared')"
)


def upgrade() -> None:
    branches = " ".join(f"WHEN '{name}' THEN {states}" for name, states in STATUSES.items())
    op.drop_constraint("ck_workflows_status", "workflows")
    op.create_check_constraint(
        op.f("ck_workflows_status"), "workflows", f"CASE type {branches} ELSE {JOB} END"
    )
    # A verified edit has not ended any more: it waits to be merged.
    op.execute(
        sa.text("UPDATE workflows SET finished_at = NULL WHERE type = 'suggestion' AND status = 'verified'")
    )
    op.drop_constraint("ck_rule_outcomes_kind", "rule_outcomes")
    op.create_check_constraint(op.f("ck_rule_outcomes_kind"), "rule_outcomes", KINDS)
    # What was suggested before is compared with the revision that is ingested by default.
    op.add_column("suggestions", sa.Column("target", sa.Text(), nullable=False, server_default="HEAD"))
    op.alter_column("suggestions", "target", server_default=None)
    op.add_column("suggestions", sa.Column("replaces", sa.Uuid()))
    op.create_index(
        "ix_suggestions_replaces",
        "suggestions",
        ["replaces"],
        postgresql_where=sa.text("replaces IS NOT NULL"),
    )
    op.add_column("edits", sa.Column("own_commits", ARRAY(sa.Text())))
    op.execute(sa.text("UPDATE edits SET own_commits = ARRAY[commit_oid]"))
    op.alter_column("edits", "own_commits", nullable=False)
    op.add_column("edits", sa.Column("pushed", JSONB(), nullable=False, server_default="{}"))
    op.alter_column("edits", "pushed", server_default=None)
    op.add_column("edits", sa.Column("compared_snapshot_id", sa.BigInteger()))
    for name in ("ended_as", "ended_by", "end_reason"):
        op.add_column("edits", sa.Column(name, sa.Text()))
    for name in ("ended_at", "branch_deleted_at"):
        op.add_column("edits", sa.Column(name, sa.DateTime(timezone=True)))
    op.execute(
        sa.text(
            "UPDATE edits SET ended_as = 'reverted', ended_at = reverted_at, ended_by = revert_oid, "
            "end_reason = outcome ->> 'reverted' WHERE reverted_at IS NOT NULL"
        )
    )
    op.create_check_constraint(
        op.f("ck_edits_ended_as"), "edits", "ended_as IN ('merged', 'superseded', 'closed', 'reverted')"
    )
    op.create_check_constraint(op.f("ck_edits_ended_at"), "edits", "(ended_as IS NULL) = (ended_at IS NULL)")
    op.drop_index("ix_edits_unverified", "edits")
    op.create_index("ix_edits_open", "edits", ["applied_at"], postgresql_where=sa.text("ended_at IS NULL"))
