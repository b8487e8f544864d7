"""Tables of the durable core: workflows, their history, its seals, and messages.

All times are the database's. ``workflows.status`` carries a CHECK made by the migrations from
the registered state machines (`state_machine.status_check`): it is not declared here because
each domain brings its machine with its own migration.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
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

workflows = Table(
    "workflows",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    # What makes creating it twice harmless.
    Column("key", Text),
    # Whose turn it is to be claimed: of types with `Fairness` alone.
    Column("fairness_key", Text),
    Column("status", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("result", JSONB),
    Column("error", JSONB),
    # How many times it was claimed: also what fences a late worker off.
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    timestamp_column("available_at"),
    Column("lease_owner", Text),
    timestamp_column("lease_expires_at", nullable=True),
    timestamp_column("expires_at", nullable=True),
    # No foreign keys between workflows but dependencies: history outlives what it mentions.
    Column("parent_id", Uuid),
    # The Dagster run that works or last worked on it.
    Column("run_id", Text),
    # What its state machine says of its status, so that indexes need not know the machines.
    Column("claimable", Boolean, nullable=False),
    # Dependencies not yet completed. A counter, because a claim must not search.
    Column("remaining_dependencies", Integer, nullable=False),
    # Set before the first dependent is: tells the one who completes it to look for them.
    Column("has_dependents", Boolean, nullable=False),
    # The last event of its history.
    Column("head_seq", Integer, nullable=False),
    Column("head_hash", LargeBinary, nullable=False),
    timestamp_column("created_at"),
    timestamp_column("updated_at"),
    # Set while the status is terminal.
    timestamp_column("finished_at", nullable=True),
    CheckConstraint("attempt >= 0 AND max_attempts >= 1", name="attempts"),
    CheckConstraint("remaining_dependencies >= 0", name="remaining_dependencies"),
)

# Few and partial: every transition writes a new row version, and that one into each index it fits.
Index(
    "ix_workflows_claimable",
    workflows.c.type,
    workflows.c.priority.desc(),
    workflows.c.available_at,
    workflows.c.id,
    postgresql_where=text("claimable AND remaining_dependencies = 0"),
)
Index(
    "ix_workflows_fairness",
    workflows.c.type,
    workflows.c.fairness_key,
    workflows.c.priority.desc(),
    workflows.c.available_at,
    workflows.c.id,
    postgresql_where=text("claimable AND remaining_dependencies = 0 AND fairness_key IS NOT NULL"),
)
Index(
    "ix_workflows_lease_expires_at",
    workflows.c.lease_expires_at,
    postgresql_where=text("lease_expires_at IS NOT NULL"),
)
Index(
    "ix_workflows_expires_at",
    workflows.c.expires_at,
    postgresql_where=text("expires_at IS NOT NULL AND finished_at IS NULL"),
)
Index(
    "uq_workflows_type_key",
    workflows.c.type,
    workflows.c.key,
    unique=True,
    postgresql_where=text("key IS NOT NULL"),
)
Index("ix_workflows_parent_id", workflows.c.parent_id, postgresql_where=text("parent_id IS NOT NULL"))

# Whether all that was started for something has ended is one probe, however much that was.
Index(
    "ix_workflows_open_children",
    workflows.c.parent_id,
    postgresql_where=text("parent_id IS NOT NULL AND finished_at IS NULL"),
)

# When a fairness key was last served, and how many more claims its rate allowed then. One that was not served for a
# day has no row.
fairness_turns = Table(
    "fairness_turns",
    metadata,
    Column("type", Text, primary_key=True),
    Column("fairness_key", Text, primary_key=True),
    timestamp_column("served_at"),
    Column("tokens", Double),
)

workflow_dependencies = Table(
    "workflow_dependencies",
    metadata,
    Column("workflow_id", Uuid, ForeignKey("workflows.id", ondelete="CASCADE"), primary_key=True),
    Column("depends_on_id", Uuid, ForeignKey("workflows.id", ondelete="CASCADE"), primary_key=True),
    CheckConstraint("workflow_id <> depends_on_id", name="not_itself"),
    Index("ix_workflow_dependencies_depends_on_id", "depends_on_id"),
)

# Append-only: triggers refuse UPDATE and TRUNCATE, and DELETE but of what a prune sealed.
workflow_events = Table(
    "workflow_events",
    metadata,
    Column("workflow_id", Uuid, primary_key=True),
    # 1, 2, 3, ... per workflow.
    Column("seq", Integer, primary_key=True),
    Column("from_status", Text),
    Column("to_status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("data", JSONB),
    Column("run_id", Text),
    timestamp_column("at"),
    # Empty for the first event of a workflow.
    Column("prev_hash", LargeBinary, nullable=False),
    # SHA-256 over prev_hash and the row, by workflow_event_hash().
    Column("hash", LargeBinary, nullable=False),
)

# Append-only and a chain itself: each seal's hash covers the one before it and its heads.
seals = Table(
    "seals",
    metadata,
    # 1, 2, 3, ... without a gap, or one is missing.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    # checkpoint: heads of living chains. prune: last heads of chains moved to an archive.
    Column("kind", Text, nullable=False),
    Column("head_count", Integer, nullable=False),
    # prune: the archive's file name and the SHA-256 of its content.
    Column("archive", Text),
    Column("archive_hash", LargeBinary),
    timestamp_column("at"),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    CheckConstraint("kind IN ('checkpoint', 'prune')", name="kind"),
    CheckConstraint("(kind = 'prune') = (archive IS NOT NULL AND archive_hash IS NOT NULL)", name="archive"),
)

sealed_heads = Table(
    "sealed_heads",
    metadata,
    Column("workflow_id", Uuid, primary_key=True),
    Column("seal_id", BigInteger, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("ix_sealed_heads_seal_id", "seal_id"),
)

# The log of every queue, in the order readers see it: by transaction, then within it.
messages = Table(
    "messages",
    metadata,
    Column("queue", Text, primary_key=True),
    # pg_current_xact_id() of the sender. A bigint, because xid8 has no casts and no driver type.
    Column(
        "xact",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        server_default=text("((pg_current_xact_id())::text)::bigint"),
    ),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("payload", JSONB, nullable=False),
    timestamp_column("created_at", default_now=True),
)

# How far each consumer of a queue has acknowledged.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("consumer", Text, primary_key=True),
    Column("xact", BigInteger, nullable=False),
    Column("id", BigInteger, nullable=False),
    timestamp_column("updated_at", default_now=True),
)

# Processes at work on something that is no workflow: runs of Dagster, the active daemon.
leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("host", Text, nullable=False),
    timestamp_column("acquired_at"),
    timestamp_column("expires_at"),
)
