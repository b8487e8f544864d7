"""Tables of approvals: requests, decisions, and refused uses of a token.

The state of an approval is that of the workflow with the same id. No foreign key to it: what
was decided outlives the workflow, which moves to an archive after its retention.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from qflow_dagster.database.schema import metadata, timestamp_column
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.registry import WorkflowTypeName

approvals = Table(
    "approvals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    # Exactly what is approved, frozen, and the SHA-256 of its canonical form.
    Column("content", JSONB, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # What speaks for it: findings, gates, confidence. Shown, not approved.
    Column("evidence", JSONB),
    # What lists are filtered by.
    Column("repository", Text, Computed("content ->> 'repository'", persisted=True)),
    Column(
        "rule",
        Text,
        Computed(
            "CASE WHEN kind = 'rule' THEN target ELSE split_part(evidence ->> 'rule', ' ', 1) END",
            persisted=True,
        ),
    ),
    Column("risk", Text, Computed("evidence ->> 'risk'", persisted=True)),
    # The person or team that is expected to decide; others may as well.
    Column("owner", Text),
    # Fields that whoever approves fills in (see `forms`).
    Column("form", JSONB),
    Column("required_approvals", Integer, nullable=False),
    # SHA-256 of the token, from the approval on.
    Column("token_hash", LargeBinary, unique=True),
    timestamp_column("expires_at"),
    # When to warn that it is about to expire; null once that was done.
    timestamp_column("warn_at", nullable=True),
    timestamp_column("requested_at", default_now=True),
    # Status and run of an archived one: set by a trigger when its workflow is archived.
    Column("final_status", Text),
    Column("run_id", Text),
    CheckConstraint("kind IN ('edit', 'workflow', 'rule', 'rollback')", name="kind"),
    CheckConstraint("required_approvals BETWEEN 1 AND 100", name="required_approvals"),
    CheckConstraint("requested_by <> '' AND target <> ''", name="named"),
    # What the decisions' foreign key needs; see there.
    UniqueConstraint("id", "requested_by"),
    Index("ix_approvals_warn_at", "warn_at", postgresql_where=text("warn_at IS NOT NULL")),
    Index("ix_approvals_target", "kind", "target"),
)

# Lists of approvals and the sensor's look at them must not see other workflows.
Index(
    "ix_workflows_approvals",
    workflows.c.type,
    workflows.c.status,
    workflows.c.id,
    postgresql_where=text(
        f"type IN ('{WorkflowTypeName.EDIT_APPROVAL}', '{WorkflowTypeName.WORKFLOW_APPROVAL}', "
        f"'{WorkflowTypeName.RULE_APPROVAL}', '{WorkflowTypeName.ROLLBACK_APPROVAL}')"
    ),
)

# Append-only by a trigger. That nobody decides their own request is a constraint, not a habit:
# each row repeats the requester, the foreign key makes it the true one.
approval_decisions = Table(
    "approval_decisions",
    metadata,
    Column("approval_id", Uuid, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("requested_by", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("comment", Text),
    # What was filled in, and the decider who delegated the decision.
    Column("answers", JSONB),
    Column("on_behalf_of", Text),
    timestamp_column("at", default_now=True),
    ForeignKeyConstraint(["approval_id", "requested_by"], ["approvals.id", "approvals.requested_by"]),
    CheckConstraint("actor <> requested_by", name="four_eyes"),
    CheckConstraint("actor <> ''", name="named"),
    CheckConstraint("decision IN ('approve', 'deny')", name="decision"),
)

# A decider of an approval who lets somebody else decide in their place.
approval_delegations = Table(
    "approval_delegations",
    metadata,
    Column("approval_id", Uuid, primary_key=True),
    Column("delegator", Text, primary_key=True),
    Column("delegate", Text, nullable=False),
    Column("reason", Text, nullable=False),
    timestamp_column("at", default_now=True),
)

# Why a token was refused; not shown to whoever presented it.
approval_refusals = Table(
    "approval_refusals",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("approval_id", Uuid),
    Column("reason", Text, nullable=False),
    Column("presented", JSONB, nullable=False),
    timestamp_column("at", default_now=True),
    Index("ix_approval_refusals_approval_id", "approval_id"),
)
