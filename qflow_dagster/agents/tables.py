"""Declare the tables of suggestions and edits, of registered agents and their assignments."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from qflow_dagster.database.schema import metadata, timestamp_column
from qflow_dagster.ingestion import tables as ingestion

_REPOSITORIES = ingestion.repositories.c.id

# The state of a suggestion is that of the workflow with the same id.
suggestions = Table(
    "suggestions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE"), nullable=False),
    # The work item with the highest score of those it serves, and all of them.
    Column("work_item_id", Uuid, nullable=False),
    Column("work_items", ARRAY(Uuid), nullable=False),
    Column("candidate_id", Uuid, nullable=False),
    # SHA-256 of repository and patch: the same change is suggested once.
    Column("fingerprint", LargeBinary, nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # Generators that proposed the patch, and the rule of its findings.
    Column("sources", ARRAY(Text), nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("base_commit", Text, nullable=False),
    # What it is meant for: a branch (refs/heads/main), or the revision that was ingested where that is no branch.
    Column("target", Text, nullable=False),
    Column("branch", Text, nullable=False),
    # The suggestion that it was made instead of, because the target had moved on.
    Column("replaces", Uuid),
    # low, medium, high; experimental ones are never approved by policy.
    Column("risk", Text, nullable=False),
    # The estimated confidence of its rule when it was made: mean and lower bound.
    Column("confidence_mean", Float, nullable=False),
    Column("confidence_lower", Float, nullable=False),
    Column("approval_id", Uuid),
    timestamp_column("created_at", default_now=True),
    CheckConstraint("risk IN ('low', 'medium', 'high', 'experimental')", name="risk"),
    Index("ix_suggestions_repository_id", "repository_id", "created_at"),
    Index("ix_suggestions_approval_id", "approval_id"),
    Index("ix_suggestions_replaces", "replaces", postgresql_where=text("replaces IS NOT NULL")),
)

# A suggestion that was applied; same id.
edits = Table(
    "edits",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("repository_id", BigInteger, ForeignKey(_REPOSITORIES, ondelete="CASCADE"), nullable=False),
    Column("branch", Text, nullable=False),
    # The parent of its commit; it differs from the suggestion's where the target had moved when it was applied.
    Column("base_commit", Text, nullable=False),
    Column("commit_oid", Text, nullable=False),
    # All commits that were made for it, the current one last: before it was rebased it had others.
    Column("own_commits", ARRAY(Text), nullable=False),
    Column("revert_oid", Text),
    # Measures and gates before and after, once verified; the reason, if reverted.
    Column("outcome", JSONB),
    Column("applied_by", Text, nullable=False),
    Column("run_id", Text),
    # The snapshot that was current when it was last compared with its target.
    Column("compared_snapshot_id", BigInteger),
    # What was pushed: the commit by remote.
    Column("pushed", JSONB, nullable=False),
    # How it ended, by which commit of the target (merged, reverted there), and why.
    Column("ended_as", Text),
    Column("ended_by", Text),
    Column("end_reason", Text),
    timestamp_column("applied_at", default_now=True),
    timestamp_column("verified_at", nullable=True),
    timestamp_column("reverted_at", nullable=True),
    timestamp_column("ended_at", nullable=True),
    timestamp_column("branch_deleted_at", nullable=True),
    CheckConstraint("ended_as IN ('merged', 'superseded', 'closed', 'reverted')", name="ended_as"),
    CheckConstraint("(ended_as IS NULL) = (ended_at IS NULL)", name="ended_at"),
    Index("ix_edits_repository_id", "repository_id", "applied_at"),
    Index("ix_edits_open", "applied_at", postgresql_where=text("ended_at IS NULL")),
)

agents = Table(
    "agents",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("domains", ARRAY(Text), nullable=False),
    Column("input_types", ARRAY(Text), nullable=False),
    Column("output_types", ARRAY(Text), nullable=False),
    # The highest complexity it takes: simple, medium, complex.
    Column("complexity", Text, nullable=False),
    # Expected cost of one assignment of medium complexity.
    Column("cost", Float, nullable=False),
    # As the agent declares it; without heartbeats it counts as offline.
    Column("availability", Text, nullable=False),
    # How many assignments it may have at the same time.
    Column("max_assignments", Integer, nullable=False),
    # Seconds between heartbeats; NULL for agents inside our own runs, which send none.
    Column("heartbeat_interval", Float),
    timestamp_column("heartbeat_at", default_now=True),
    timestamp_column("registered_at", default_now=True),
    # The machine of the last heartbeat; NULL for agents inside our own runs.
    Column("host", Text),
    CheckConstraint(
        "role IN ('self_improve', 'cost_optimize', 'architect', 'technology', 'refactoring', 'chat', "
        "'quality_enforcer')",
        name="role",
    ),
    CheckConstraint("complexity IN ('simple', 'medium', 'complex')", name="complexity"),
    CheckConstraint("availability IN ('available', 'busy', 'overloaded', 'offline')", name="availability"),
)

# The state of an assignment is that of the workflow with the same id.
assignments = Table(
    "assignments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("domain", Text, nullable=False),
    Column("input_type", Text, nullable=False),
    Column("output_type", Text, nullable=False),
    Column("complexity", Text, nullable=False),
    Column("task", JSONB, nullable=False),
    Column("requested_by", Text, nullable=False),
    # The agent it is assigned to, and how well that one fits (0 to 1).
    Column("agent", Text),
    Column("fit", Float),
    timestamp_column("assigned_at", nullable=True),
    # Agents that had it before and did not do it.
    Column("tried", ARRAY(Text), nullable=False),
    Index("ix_assignments_agent", "agent", postgresql_where=text("agent IS NOT NULL")),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("agent", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("success", Boolean, nullable=False),
    # Seconds of work.
    Column("latency", Float),
    Column("cost", Float, nullable=False),
    # 0 to 1, where somebody rated it.
    Column("quality", Float),
    # The error, or a person's comment.
    Column("feedback", Text),
    # The assignment or the generation attempt that it is the outcome of.
    Column("assignment_id", Uuid),
    Column("attempt_id", BigInteger, unique=True),
    timestamp_column("at", default_now=True),
    Index("ix_outcomes_agent", "agent", "domain"),
)
